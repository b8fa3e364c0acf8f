"""Agents: from the view of one step to a decision."""
