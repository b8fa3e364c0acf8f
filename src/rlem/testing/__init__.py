"""What others need to test against rlem: contract suites, a toy environment's players, fakes."""
