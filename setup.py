"""Builds the package with ``pip install .`` and, as an ament_python package, with ``colcon build``."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'rl_robot_control'
ROOT = Path(__file__).resolve().parent
SHARED_FOLDERS = ('config', 'launch', 'benchmarks', 'pretrained')  # read at run time, installed under share/
ROS_PACKAGES = (
    'rclpy', 'rmw-fastrtps-cpp', 'ament-index-python', 'rcl-interfaces', 'builtin-interfaces', 'rosgraph-msgs',
    'std-msgs', 'std-srvs', 'sensor-msgs', 'geometry-msgs', 'nav-msgs', 'trajectory-msgs',
    'visualization-msgs', 'diagnostic-msgs', 'lifecycle-msgs')


def shared_files() -> list[tuple[str, list[str]]]:
    """Target folder and files of everything that lies outside the Python package."""
    entries = [('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
               (f'share/{NAME}', ['package.xml']),
               # A plain console script would end in bin/ under pip, where `ros2 run` does not look.
               (f'lib/{NAME}', [f'scripts/{path.name}' for path in sorted((ROOT / 'scripts').glob('*_node'))])]
    for top in SHARED_FOLDERS:
        for folder in sorted({path.parent for path in (ROOT / top).rglob('*') if _shipped(path)}):
            relative = folder.relative_to(ROOT)
            files = [str(relative / path.name) for path in sorted(folder.iterdir()) if _shipped(path)]
            entries.append((f'share/{NAME}/{relative}', files))
    return entries


def _shipped(path: Path) -> bool:
    return path.is_file() and '__pycache__' not in path.parts and not path.name.startswith('.')


setup(
    name=NAME,
    version='0.1.0',
    description='Trains robots by reinforcement learning over ROS 2 topics, under a safety shield, and runs the '
                'policies on them',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='rl_robot_control maintainers',
    maintainer_email='maintainers@rl-robot-control.org',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    data_files=shared_files(),
    python_requires='>=3.10',
    install_requires=[
        'setuptools', 'numpy>=1.26', 'PyYAML>=6', 'pydantic>=2.6', 'typer>=0.12', 'rich>=13', 'gymnasium>=1.0',
        'mujoco>=3.3', 'daqp>=0.10', 'numba>=0.61', 'example-robot-data>=4.2', 'torch>=2.5', 'rsl-rl-lib>=5.0',
        'tensordict>=0.7', 'stable-baselines3>=2.7', 'sb3-contrib>=2.7', 'optuna>=4.0', 'onnx>=1.16',
        'onnxscript>=0.5', 'onnxruntime>=1.18', 'protobuf>=4', 'mcap>=1.2', 'matplotlib>=3.8', 'pillow>=10',
        'tensorboard>=2.16'],
    extras_require={
        'ros': [f'ros-{package}' for package in ROS_PACKAGES],
        'test': ['pytest>=8', 'pytest-timeout>=2.3', 'pytest-xdist>=3.5', 'hypothesis>=6.100'],
        'lint': ['ruff>=0.8'],
    },
    entry_points={
        'console_scripts': [f'{NAME} = {NAME}.__main__:main'],
    },
    zip_safe=False,
)
