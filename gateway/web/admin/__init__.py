"""The admin plane: metrics, orders, /explain and the live page."""
