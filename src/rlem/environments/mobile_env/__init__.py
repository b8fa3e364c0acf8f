"""A real Mobile-Env as an rlem environment: an Android emulator with the WikiHow app and its task files."""
