"""The Faust app and its process: all that touches Faust."""
