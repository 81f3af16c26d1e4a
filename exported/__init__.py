"""The bundle: what training promises and the service relies on. No torch, no server, no graph."""
