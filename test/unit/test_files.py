"""Files are replaced whole, or stay as they were."""

import pytest

from rl_robot_control.files import replacing, write_whole


def test_a_file_is_made_and_replaced(tmp_path):
    for content in (b'first', b'second'):
        write_whole(tmp_path / 'a.txt', content)
        assert (tmp_path / 'a.txt').read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_the_temporary_file_lies_beside_it_with_its_suffix(tmp_path):
    with replacing(tmp_path / 'policy.onnx') as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == '.onnx' and temporary.name.startswith('.')
        temporary.write_bytes(b'x')


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(ValueError, match='half'):
        with replacing(path) as temporary:
            temporary.write_text('half')
            raise ValueError('half')
    assert path.read_text() == 'old' and list(tmp_path.iterdir()) == [path]
