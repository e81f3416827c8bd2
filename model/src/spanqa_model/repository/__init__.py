"""Triton's model repository: its versions and configurations, and the embedded Triton's backend."""
