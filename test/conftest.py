"""What all tests share."""

import importlib.util

HAS_ROS = importlib.util.find_spec('rclpy') is not None
collect_ignore_glob = [] if HAS_ROS else ['ros/*']


def pytest_report_header() -> str:
    return 'ROS 2: rclpy found' if HAS_ROS else 'ROS 2: rclpy is not installed, so the tests in test/ros are left out'
