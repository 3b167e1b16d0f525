// The connection: lines of JSON for as long as it lasts, and another one after it ended.
// Where a token is needed it is kept here alone, until the page is closed.

const SILENCE = 5000;
const SOON = 500;
const LATE = 5000;

let token = "";

export function useToken(given) {
  token = given;
}

export const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});

// `on` has line(words), lost(why, again_in) and refused(why, status): after the last nothing more comes
// until `watch` is called again.
export async function watch(on) {
  for (let wait = SOON; ; wait = Math.min(wait * 2, LATE)) {
    let why = "the connection ended";
    try {
      const refused = await once((words) => {
        wait = SOON / 2;
        on.line(words);
      });
      if ([401, 403].includes(refused?.status)) return on.refused((await refused.json()).detail, refused.status);
      if (refused) why = `status ${refused.status}`;
    } catch (error) {
      why = error.name === "AbortError" ? "it is silent" : "it cannot be reached";
    }
    on.lost(why, wait);
    await new Promise((go) => setTimeout(go, wait));
  }
}

// Resolves with a response that is no stream, or with null at the stream's end.
async function once(line) {
  const given_up = new AbortController();
  let timer = setTimeout(() => given_up.abort(), SILENCE);
  try {
    const answer = await fetch("live", { headers: headers(), cache: "no-store", signal: given_up.signal });
    if (!answer.ok) return answer;
    const decoder = new TextDecoder();
    const reader = answer.body.getReader();
    for (let rest = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return null;
      clearTimeout(timer);
      timer = setTimeout(() => given_up.abort(), SILENCE);
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop();
      for (const each of lines) line(JSON.parse(each));
    }
  } finally {
    clearTimeout(timer);
  }
}
