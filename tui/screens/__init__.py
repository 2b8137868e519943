"""The screens of the terminal UI: one for each mode, and two that lie over them."""
