"""What agents did step by step: timelines, approvals, two runs compared, and what does not fit."""
