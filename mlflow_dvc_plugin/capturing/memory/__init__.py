"""What earlier readings can be trusted for: what they depended on, and stored results."""
