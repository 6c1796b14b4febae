"""The laboratory of the agent_mem series: fetches, patches, builds, boots, tests and measures a kernel."""
