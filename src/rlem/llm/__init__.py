"""Language models behind one seam: endpoints, recordings, a person, and the embedded reader."""
