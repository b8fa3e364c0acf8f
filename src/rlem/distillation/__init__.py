"""Algorithm Distillation beside RLEM: what its context would cost on text, and a small one on a grid."""
