"""Strict settings: what is wrong is named, with the file, the key and the nearest valid key."""

from typing import Annotated

import pytest
from pydantic import Field

from rl_robot_control.config import (
    config_directory,
    config_names,
    find_config,
    load_settings,
    load_yaml,
    parse_settings,
    to_plain,
)
from rl_robot_control.config import settings as strict
from rl_robot_control.errors import ConfigurationError, UnknownNameError


@strict
class Wheel:
    radius: Annotated[float, Field(gt=0)]  # [m]
    friction: float = 1.0


@strict
class Cart:
    name: str
    wheels: list[Wheel] = Field(default_factory=list)
    spare: Wheel | None = None
    limits: dict[str, Wheel] = Field(default_factory=dict)


def parse(data):
    return parse_settings(data, Cart, where='cart.yaml')


def test_good_settings_and_back():
    cart = parse({'name': 'c', 'wheels': [{'radius': 1}], 'spare': {'radius': 2, 'friction': 0.5}})
    assert cart.wheels[0].friction == 1.0
    assert to_plain(cart) == {'name': 'c', 'wheels': [{'radius': 1.0, 'friction': 1.0}],
                              'spare': {'radius': 2.0, 'friction': 0.5}, 'limits': {}}
    assert parse(to_plain(cart)) == cart


def test_frozen():
    with pytest.raises(AttributeError):
        parse({'name': 'c'}).name = 'd'


@pytest.mark.parametrize(('data', 'message'), [
    ({'name': 'c', 'wheel': []},
     "cart.yaml: unknown key 'wheel'; did you mean 'wheels'? Valid: limits, name, spare, wheels."),
    ({'name': 'c', 'xyz': 1}, "cart.yaml: unknown key 'xyz'. Valid: limits, name, spare, wheels."),
    ({'name': 'c', 'wheels': [{'radius': 1}, {'radius': 1, 'frictoin': 1}]},
     "cart.yaml: unknown key 'wheels.1.frictoin'; did you mean 'friction'? Valid: friction, radius."),
    ({'name': 'c', 'limits': {'left': {'radius': 1, 'radios': 1}}},
     "cart.yaml: unknown key 'limits.left.radios'; did you mean 'radius'? Valid: friction, radius."),
    ({'name': 'c', 'spare': {'radius': 1, 'radios': 1}},
     "cart.yaml: unknown key 'spare.radios'; did you mean 'radius'? Valid: friction, radius."),
    ({}, "cart.yaml: key 'name' is missing."),
    ([1], 'cart.yaml: expected a mapping of settings, got list.'),
    (None, 'cart.yaml: expected a mapping of settings, got NoneType.'),
])
def test_message(data, message):
    with pytest.raises(ConfigurationError) as caught:
        parse(data)
    assert str(caught.value) == message


def test_value_out_of_range_gives_the_value():
    with pytest.raises(ConfigurationError, match=r"cart\.yaml: key 'wheels\.0\.radius' is -1: .*greater than 0"):
        parse({'name': 'c', 'wheels': [{'radius': -1}]})


def test_all_findings_are_listed():
    with pytest.raises(ConfigurationError) as caught:
        parse({'wheels': [{'radius': -1}], 'xyz': 1})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize('content', [b'a: [1', b'\xff\xfe\x00', b'a: b: c', b'!!python/object:os.system {}'])
def test_file_that_is_no_yaml(tmp_path, content):
    path = tmp_path / 'a.yaml'
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r'a\.yaml: is not valid YAML'):
        load_yaml(path)


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigurationError, match=r'cannot be read: Is a directory'):
        load_yaml(tmp_path)


def test_load_settings(tmp_path):
    path = tmp_path / 'cart.yaml'
    path.write_text('name: c\n')
    assert load_settings(path, Cart).name == 'c'


def test_names_and_files():
    assert 'unitree_g1' in config_names('robots')
    assert find_config('tasks', 'walk') == config_directory() / 'tasks' / 'walk.yaml'


def test_unknown_name():
    with pytest.raises(UnknownNameError, match=r"unknown task 'wlak'; did you mean 'walk'\?"):
        find_config('tasks', 'wlak')
