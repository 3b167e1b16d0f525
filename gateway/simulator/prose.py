"""The wording of trainings that look real. Lives here: text from a seed; nothing of their life."""

from __future__ import annotations

from random import Random

_TOPICS = (
    "a refund after the 30-day window",
    "a parcel marked as delivered that never arrived",
    "two-factor sign-in on a new phone",
    "a double charge on the monthly invoice",
    "changing the billing address after checkout",
    "cancelling a trial before it renews",
    "exporting all data under the GDPR",
    "a voucher that is refused at the till",
    "moving a seat to another colleague",
    "a café booking for more than eight guests",
    "an outage shown on the status page",
    "a webhook that stopped firing",
)
_OPENINGS = (
    "When a customer asks about {topic}, first confirm who they are",
    "If the conversation turns to {topic}, look up the account",
    "As soon as {topic} comes up, read the last three conversations",
    "For anything about {topic}, start with the order number",
)
_STEPS = (
    "Ask for the order number, never for a full card number.",
    "Check the status page before you promise a date; say so when it is green.",
    "Offer the express option (€4.90) only within the EU and the UK.",
    'Quote the policy as "14 days from delivery", not from purchase.',
    "Apologise once, plainly, and move on to what happens next.",
    "If the amount is above 250 USD, hand over to a human colleague.",
    "Write a short summary in the ticket: what was asked, what was done, what is open.",
    "Do not mention internal tools or the names of colleagues.",
    "For customers on the Enterprise plan, copy the account manager.",
    "Answer in the customer's language; keep product names in English.",
    "When the tracking has not moved for 5 days, open an inquiry with the carrier.",
    "A refund takes 3-5 business days; with a prepaid card it can take up to 10.",
    "Send the article “How invoices work” if the question is about VAT.",
    "Never guess a password reset date: read it in the audit trail.",
    "If the same problem was reported twice within a week, raise its priority.",
    "Close with one question: is there anything else I can do today? 🙂",
)
_LENGTH = 1600


def title(random: Random) -> str:
    """A trigger phrase of about fifty characters."""
    return f"How to handle {random.choice(_TOPICS)}"


def content(random: Random, mark: str) -> str:
    """An instruction body of about 1.6 KB, opened by `mark`, which tells it from all others."""
    lines = [f"[{mark}] {random.choice(_OPENINGS).format(topic=random.choice(_TOPICS))}."]
    while sum(map(len, lines)) < _LENGTH - len(_STEPS):
        lines.append(f"{len(lines)}. {random.choice(_STEPS)}")
    return "\n".join(lines)
