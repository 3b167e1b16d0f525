"""What tests start or read: servers, certificates, connections, and a machine on a bad day."""
