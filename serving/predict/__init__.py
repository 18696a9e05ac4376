"""Classification of files: finding the images, classifying them, and writing the results."""
