"""The studio: paint, see what the network makes of it, correct; see `tinyunet.web.studio.app` for the interface."""
