"""How densely a fleet's texts can be held: the series, what users have today, and what the data allows."""
