"""A Gazebo that waits to be advanced, as a world of the simulation node."""
