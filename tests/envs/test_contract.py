"""What every world of ours promises, over every id that the project registers."""

import warnings

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_sb3

import envs  # noqa: F401 - registers the worlds

IDS = sorted(
    spec.id for spec in gym.registry.values() if str(spec.vector_entry_point).startswith("envs.")
)
IDS.remove("rl_ablation/Robot-v0")  # made of data, see test_exported.py
OURS = [env_id for env_id in IDS if env_id.startswith("rl_ablation/")]
LIMIT = 6  # control steps; no robot comes to an end of its own in them
MODES = [mode.value for mode in AutoresetMode]

every_id = pytest.mark.parametrize("env_id", IDS)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make(env_id, n=3, mode="Disabled", **kwargs):
    return gym.make_vec(env_id, num_envs=n, autoreset_mode=mode, **kwargs)


def idle(env):
    return np.zeros(env.action_space.shape, env.single_action_space.dtype)


def draw(env, steps, seed=5, scale=0.5):
    """Random actions (T, N, A), gentle enough not to throw a robot at once."""
    low, high = env.single_action_space.low, env.single_action_space.high
    size = (steps, env.num_envs, *low.shape)
    share = scale * np.random.default_rng(seed).uniform(-1, 1, size)
    return ((low + high) / 2 + share * (high - low) / 2).astype(env.single_action_space.dtype)


def play(env, actions, seed):
    """Everything that comes out of an episode, or several: one list of arrays a step."""
    record = [[env.reset(seed=seed)[0]]]
    for action in actions:
        obs, reward, ended, cut, infos = env.step(action)
        plain = [infos[k] for k in sorted(infos) if not k.startswith("final")]
        record.append([obs, reward, ended, cut, *plain])
    return record


def same(one, other, rows=slice(None)):
    for step, (a, b) in enumerate(zip(one, other, strict=True)):
        for x, y in zip(a, b, strict=True):
            assert np.array_equal(x[rows], y), f"differs at step {step}"


def test_ids_are_all_there():
    assert {"rl_ablation/Lap-v0", "rl_ablation/Quadruped-v0"} <= set(OURS)
    native = {f"{n}-v5" for n in ("Ant", "HalfCheetah", "Hopper", "Humanoid", "Swimmer")}
    assert native | {"Walker2d-v5"} <= set(IDS)


# Spaces and starts.


@every_id
def test_spaces_fit_what_comes_out(env_id):
    env = make(env_id)
    single = env.single_observation_space
    assert env.observation_space.shape == (3, *single.shape)
    assert env.action_space.shape == (3, *env.single_action_space.shape)
    obs, infos = env.reset(seed=0)
    assert isinstance(infos, dict)
    for action in draw(env, 4):
        assert obs.dtype == single.dtype
        assert env.observation_space.contains(obs)
        assert all(single.contains(row) for row in obs)
        obs, reward, ended, cut, _ = env.step(action)
        assert (reward.shape, ended.shape, cut.shape) == ((3,), (3,), (3,))
        assert (ended.dtype, cut.dtype, reward.dtype.kind) == (bool, bool, "f")


@every_id
def test_one_robot_has_the_same_spaces(env_id):
    env, single = make(env_id), gym.make(env_id)
    assert env.single_observation_space.shape == single.observation_space.shape
    assert env.single_observation_space.dtype == single.observation_space.dtype
    assert env.single_action_space == single.action_space
    assert gym.spec(env_id).max_episode_steps == single.spec.max_episode_steps


@every_id
def test_one_seed_a_row(env_id):
    seeds = [0, 11, 4]
    env, single = make(env_id), gym.make(env_id)
    obs, _ = env.reset(seed=seeds)
    for row, seed in enumerate(seeds):
        assert np.array_equal(obs[row], single.reset(seed=seed)[0]), f"seed {seed}"
    assert not np.array_equal(obs[0], obs[1])


@every_id
def test_an_int_seeds_the_rows_in_order(env_id):
    env = make(env_id)
    counted, _ = env.reset(seed=0)
    listed, _ = env.reset(seed=[0, 1, 2])
    assert np.array_equal(counted, listed)
    assert not np.array_equal(env.reset(seed=1)[0][0], counted[0])


@every_id
def test_no_seed_goes_on_with_the_rows_own_stream(env_id):
    env, other = make(env_id), make(env_id)
    first, _ = env.reset(seed=3)
    other.reset(seed=3)
    second, _ = env.reset()
    assert not np.array_equal(first, second)
    assert np.array_equal(second, other.reset()[0])


@every_id
def test_a_none_among_the_seeds_leaves_that_row_its_stream(env_id):
    env, other = make(env_id), make(env_id)
    env.reset(seed=3)
    other.reset(seed=3)
    mixed, _ = env.reset(seed=[None, 9, None])
    onward, _ = other.reset()
    assert np.array_equal(mixed[[0, 2]], onward[[0, 2]])
    assert np.array_equal(mixed[1], make(env_id, 1).reset(seed=9)[0][0])


@every_id
@pytest.mark.parametrize("seeds", [[1, 2], [1, 2, 3, 4]])
def test_wrong_number_of_seeds(env_id, seeds):
    with pytest.raises(ValueError, match=rf"{len(seeds)} seeds for 3 rows"):
        make(env_id).reset(seed=seeds)


@every_id
def test_wrong_calls_are_refused(env_id):
    env = make(env_id)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(idle(env))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="shape"):
        env.step(idle(env)[:2])
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(3, bool)})
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.ones(2, bool)})
    with pytest.raises(ValueError, match="unknown reset options"):
        env.reset(options={"weather": "rain"})
    with pytest.raises(ValueError, match="num_envs"):
        make(env_id, 0)
    with pytest.raises(ValueError, match="rendered"):
        make(env_id, render_mode="rgb_array")


@every_id
def test_what_is_handed_out_is_not_overwritten(env_id):
    env = make(env_id)
    obs, infos = env.reset(seed=0)
    kept = [obs, *infos.values()]
    copies = [np.copy(x) for x in kept]
    for action in draw(env, 3):
        result = env.step(action)
        for x, copy in zip(kept, copies, strict=True):
            assert np.array_equal(x, copy)
        kept = [*result[:4], *result[4].values()]
        copies = [np.copy(x) for x in kept]


# Ends.


@every_id
def test_truncates_at_the_limit_and_not_before(env_id):
    env = make(env_id, max_episode_steps=LIMIT)
    env.reset(seed=0)
    for step in range(1, LIMIT + 1):
        _, _, ended, cut, _ = env.step(idle(env))
        assert not ended.any()
        assert cut.all() if step == LIMIT else not cut.any()


@every_id
def test_the_registered_limit_is_the_default(env_id):
    assert make(env_id, 1).max_episode_steps == gym.spec(env_id).max_episode_steps
    assert make(env_id, 1, max_episode_steps=-1).max_episode_steps is None


@every_id
def test_next_step_resets_with_the_following_step(env_id):
    env, twin = make(env_id, mode="NextStep", max_episode_steps=LIMIT), make(env_id)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    twin.reset(seed=0)
    for _ in range(LIMIT):
        obs, _, _, cut, _ = env.step(idle(env))
        last, *_ = twin.step(idle(env))
    assert cut.all()
    assert np.array_equal(obs, last)  # the end itself is seen
    obs, reward, ended, cut, _ = env.step(idle(env))
    assert np.array_equal(obs, twin.reset()[0])
    assert not (ended | cut).any()
    assert not reward.any()
    assert np.array_equal(env.step(idle(env))[0], twin.step(idle(env))[0])


@every_id
def test_same_step_resets_at_once_and_hands_over_the_end(env_id):
    env, twin = make(env_id, mode="SameStep", max_episode_steps=LIMIT), make(env_id)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    env.reset(seed=0)
    twin.reset(seed=0)
    for step in range(1, LIMIT + 1):
        obs, reward, _, cut, infos = env.step(idle(env))
        last, due, _, _, then = twin.step(idle(env))
        assert ("final_obs" in infos) == ("final_info" in infos) == (step == LIMIT)
    assert cut.all()
    assert np.array_equal(reward, due)
    assert infos["_final_obs"].all()
    assert infos["_final_info"].all()
    assert np.array_equal(np.stack(infos["final_obs"]), last)
    for key, value in infos["final_info"].items():
        assert np.array_equal(value, then[key]), key
    assert set(infos["final_info"]) == set(then)
    assert np.array_equal(obs, twin.reset()[0])
    assert np.array_equal(env.step(idle(env))[0], twin.step(idle(env))[0])


@every_id
def test_same_step_hands_over_only_the_rows_that_ended(env_id):
    env = make(env_id, mode="SameStep", max_episode_steps=LIMIT)
    env.reset(seed=0)
    env.step(idle(env))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    for _ in range(LIMIT - 1):
        *_, cut, infos = env.step(idle(env))
    assert cut.tolist() == infos["_final_obs"].tolist() == [False, True, True]
    assert infos["final_obs"][0] is None
    assert infos["_final_info"].tolist() == [False, True, True]
    *_, cut, infos = env.step(idle(env))
    assert cut.tolist() == infos["_final_obs"].tolist() == [True, False, False]


@every_id
def test_disabled_finished_rows_wait(env_id):
    env = make(env_id, max_episode_steps=LIMIT)
    assert env.metadata["waits"]
    env.reset(seed=0)
    for _ in range(2):
        env.step(idle(env))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    for _ in range(LIMIT - 2):
        obs, _, _, cut, _ = env.step(idle(env))
    assert cut.tolist() == [False, True, True]
    state = env.batch.qpos.copy()
    later, reward, ended, cut, infos = env.step(idle(env) + env.single_action_space.high)
    assert np.array_equal(later[1:], obs[1:])
    assert not np.array_equal(later[0], obs[0])
    assert np.array_equal(env.batch.qpos[1:], state[1:])
    assert not np.array_equal(env.batch.qpos[0], state[0])
    assert cut.tolist() == [False, True, True]
    assert not ended.any()
    assert not reward[1:].any()
    assert infos["_unstable"].tolist() == [True, False, False]
    again, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert np.array_equal(again[[0, 2]], later[[0, 2]])
    assert not np.array_equal(again[1], later[1])
    *_, cut, infos = env.step(idle(env))
    assert cut.tolist() == [True, False, True]  # row 0 has come to its limit by now
    assert infos["_unstable"].tolist() == [True, True, False]


@every_id
def test_disabled_all_rows_may_wait(env_id):
    env = make(env_id, max_episode_steps=1)
    env.reset(seed=0)
    obs, *_ = env.step(idle(env))
    for _ in range(2):
        waiting, reward, _, cut, _ = env.step(idle(env))
        assert np.array_equal(waiting, obs)
        assert not reward.any()
        assert cut.all()


# Determinism.


@every_id
@pytest.mark.parametrize("mode", MODES)
def test_same_bits_at_one_thread_and_two(env_id, mode):
    limit = None if mode == "Disabled" else 9  # so that restarts are compared, too
    one, two = (make(env_id, 5, mode, nthread=n, max_episode_steps=limit or -1) for n in (1, 2))
    actions = draw(one, 20, scale=1.0)
    same(play(one, actions, 7), play(two, actions, 7))
    same(play(one, actions, 7), play(one, actions, 7))  # and in a used environment


@every_id
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_neighbours_do_not_matter(env_id, mode):
    env, alone = (
        make(env_id, 5, mode, max_episode_steps=9),
        make(env_id, 1, mode, max_episode_steps=9),
    )
    actions = draw(env, 20, scale=1.0)
    seeds = [40, 0, 42, 43, 44]
    together = play(env, actions, seeds)
    for row in (0, 1, 4):
        by_itself = play(alone, actions[:, row : row + 1], seeds[row : row + 1])
        same(together, by_itself, slice(row, row + 1))


# Numbers and infos.


@every_id
def test_values_are_finite(env_id):
    env = make(env_id, 4, "NextStep", max_episode_steps=40)
    record = play(env, draw(env, 60, scale=1.0), 0)
    for step in record:
        for value in step:
            assert np.isfinite(value.astype(float)).all()


@every_id
def test_infos_keep_their_keys_and_masks(env_id):
    env = make(env_id, max_episode_steps=LIMIT)
    _, start = env.reset(seed=0)
    env.step(idle(env))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    shapes = None
    for step in range(2, LIMIT + 2):
        *_, infos = env.step(idle(env))
        running = [True, step <= LIMIT, step <= LIMIT]
        plain = {k for k in infos if not k.startswith("_")}
        assert {k[1:] for k in infos if k.startswith("_")} == plain
        assert all(infos[f"_{k}"].dtype == bool for k in plain)
        assert all(infos[f"_{k}"].tolist() == running for k in plain)
        now = {k: (infos[k].shape, infos[k].dtype) for k in plain}
        assert all(shape[0] == 3 for shape, _ in now.values())
        shapes = shapes or now
        assert now == shapes
    assert {k for k in start if not k.startswith("_")} <= set(shapes)
    assert "unstable" in shapes


@pytest.mark.parametrize("env_id", OURS)
def test_reset_and_step_give_the_same_infos(env_id):
    env = make(env_id)
    _, start = env.reset(seed=0)
    assert set(start) == set(env.step(idle(env))[-1])
    assert all(mask.all() for k, mask in start.items() if k.startswith("_"))


# Conditions.

NAMED = [(env_id, name) for env_id in IDS for name in make(env_id, 1).metadata["conditions"]]


def test_our_worlds_have_conditions():
    assert {env_id for env_id, _ in NAMED} == set(OURS)


@pytest.mark.parametrize(("env_id", "name"), NAMED)
def test_condition_can_be_asked_for(env_id, name):
    env, single = make(env_id), gym.make(env_id)
    obs, _ = env.reset(seed=[5, 6, 7], options={"condition": name})
    assert list(env.condition) == [name] * 3
    alone, _ = single.reset(seed=6, options={"condition": name})
    assert np.array_equal(obs[1], alone)
    for _ in range(3):
        env.step(idle(env))
    mixed, _ = env.reset(seed=[5, 6, 7], options={"condition": [None, name, None]})
    free, _ = env.reset(seed=[5, 6, 7])
    assert np.array_equal(mixed[1], obs[1])
    assert np.array_equal(mixed[[0, 2]], free[[0, 2]])


@every_id
def test_unknown_condition(env_id):
    env = make(env_id)
    for wanted in ("nowhere", ["nowhere", None, None]):
        with pytest.raises(ValueError, match="unknown condition 'nowhere'") as caught:
            env.reset(seed=0, options={"condition": wanted})
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="2 conditions for 3 rows"):
        env.reset(seed=0, options={"condition": [None, None]})


# Other people's checks, and pictures.


@pytest.mark.parametrize("env_id", OURS)
def test_gymnasium_and_sb3_accept_it(env_id):
    env = gym.make(env_id).unwrapped
    check_env(env, skip_render_check=True)
    check_sb3(env, skip_render_check=True)


@pytest.fixture(scope="module")
def _drawing():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom size='1'/></worldbody></mujoco>"
    )
    try:
        mujoco.Renderer(model, 8, 8).close()
    except Exception as error:  # whatever the GL library throws
        pytest.skip(f"nothing can be drawn here: {error}")


@pytest.mark.usefixtures("_drawing")
@pytest.mark.parametrize("env_id", OURS)
def test_a_frame_is_a_picture(env_id):
    env = gym.make(env_id, render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((48, 64, 3), np.uint8)
    assert len(np.unique(frame)) > 10
    state = env.unwrapped.world.batch.qpos.copy()
    for _ in range(12):
        env.step(env.action_space.high * np.float32(0.5))
    assert not np.array_equal(env.render(), frame)
    assert not np.array_equal(env.unwrapped.world.batch.qpos, state)
    env.reset(seed=0)
    assert np.array_equal(env.render(), frame)  # looking left no trace
    env.close()


@pytest.mark.parametrize("env_id", OURS)
def test_drawing_is_off_unless_asked_for(env_id):
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    assert env.render() is None
    with pytest.raises(ValueError, match="render_mode"):
        gym.make(env_id, render_mode="ansi").unwrapped.reset()
