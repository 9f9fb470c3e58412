"""The mini crawl: pages written for this project, and the shards made of them. See `build` for the layout."""
