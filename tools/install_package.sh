#!/usr/bin/env bash
# Creates the virtual environment $VENV and installs the package into it, one progress line per step.
# Called by `make setup` from the repository's root with PYTHON, VENV, ROS and PIP_VERSION.
set -euo pipefail

has_rclpy() { "$1" -c 'import rclpy, sensor_msgs.msg' >/dev/null 2>&1; }

system_ros=no
if [ "$ROS" = auto ] && has_rclpy "$PYTHON"; then system_ros=yes; fi

# Another interpreter or folder than last time: the environment starts anew.
wanted="$("$PYTHON" -c 'import sys; print(sys.version_info[:2], sys.base_prefix)') $PWD"
if [ "$(cat "$VENV/interpreter" 2>/dev/null || true)" != "$wanted $system_ros" ] || ! "$VENV/bin/python" -c '' 2>/dev/null; then
  rm -rf "$VENV"
  "$PYTHON" -m venv "$VENV" || {
    rm -rf "$VENV"
    echo "The interpreter cannot make virtual environments. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2
    exit 1
  }
  # A sourced ROS 2 reaches the environment through PYTHONPATH; a distribution's own rclpy needs the system's packages.
  if [ $system_ros = yes ] && ! has_rclpy "$VENV/bin/python"; then
    rm -rf "$VENV" && "$PYTHON" -m venv --system-site-packages "$VENV"
  fi
  echo "$wanted $system_ros" > "$VENV/interpreter"
fi
install() { "$VENV/bin/python" -m pip --disable-pip-version-check install -qq --constraint constraints.txt "$@"; }
# The resolver of the oldest interpreters' own pip does not find an answer in reasonable time.
install "pip==$PIP_VERSION"

echo "[2/4] PyTorch"
"$VENV/bin/python" tools/install_torch.py

if [ $system_ros = yes ]; then
  echo "[3/4] this package, with the system's ROS 2"
  install --editable '.[test]'
else
  echo "[3/4] this package, with ROS 2 from wheels"
  install --editable '.[ros,test]'
fi

# An editable install leaves out what belongs under share/ and lib/; links put it there, as colcon --symlink-install does.
mkdir -p "$VENV/share/rl_robot_control" "$VENV/share/ament_index/resource_index/packages"
for entry in package.xml config benchmarks pretrained; do
  if [ -e "$entry" ]; then ln -sfn "$PWD/$entry" "$VENV/share/rl_robot_control/$entry"; fi
done
rm -rf "$VENV/share/rl_robot_control/launch"  # `ros2 launch` does not look into a folder that is a link
mkdir "$VENV/share/rl_robot_control/launch"
ln -s "$PWD"/launch/*.py "$VENV/share/rl_robot_control/launch/"
ln -sfn "$PWD/resource/rl_robot_control" "$VENV/share/ament_index/resource_index/packages/rl_robot_control"
mkdir -p "$VENV/lib" && ln -sfn "$PWD/scripts" "$VENV/lib/rl_robot_control"

echo "[4/4] check"
if ! "$VENV/bin/python" -c 'import rclpy, mujoco, onnxruntime, torch; from sensor_msgs.msg import JointState; JointState(position=[0.0])'; then
  echo "An import failed. With a system's ROS 2 built for NumPy 1, run: make clean && make setup ROS=wheels (in a shell without ROS 2 sourced)" >&2
  exit 1
fi
# The shield is compiled when it is first imported and kept in a cache: half a minute now, and none when a node starts.
"$VENV/bin/python" -c 'import rl_robot_control.shield'
