"""Jobs and schedules: what people and the clock start."""
