"""Raw text: as documents, paragraphs as sentences, sentences as Chinese words."""
