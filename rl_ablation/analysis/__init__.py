"""What is computed about a network beyond a map."""
