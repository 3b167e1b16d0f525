"""Third floor: HTTP requests and responses. Only this floor knows the gateway's status codes."""
