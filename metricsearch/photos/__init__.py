"""A folder of photos as a searchable collection: by what they show and by the very objects in them."""
