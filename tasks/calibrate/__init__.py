"""Calibrate: token ids of equal length, from rows of text, chats and images."""
