"""Plugins that come with csflow; they use the same hooks as everybody's."""
