"""Other ways to search metric spaces, on the same metrics, pivots, candidates and object store as PPP-Codes."""
