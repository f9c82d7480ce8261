"""What happened: a recorded run becomes numbers, pictures and a page. Nothing here needs ROS."""
