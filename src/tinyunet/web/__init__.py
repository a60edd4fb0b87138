"""Pages and interfaces for a browser: what guards them, how they are started, what they take."""
