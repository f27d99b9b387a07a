"""WGSL on one adapter of wgpu-py: what the findings about shaders share."""

import numpy as np
import wgpu

KINDS = {"f32": np.float32, "i32": np.int32, "u32": np.uint32}


def adapter(backend, version=""):
    """The first adapter of a backend whose driver is of the version that the finding is about."""
    found = [a for a in wgpu.gpu.enumerate_adapters_sync() if a.info["backend_type"] == backend]
    for candidate in found:
        if version in candidate.info["description"]:
            print(candidate.info["device"], backend, candidate.info["description"], sep=", ")
            return candidate
    raise SystemExit(f"no {backend} adapter of {version or 'any version'} among {[a.info for a in found]}")


def compute(on, statements, data, outputs, source="f32", result="f32", declarations=""):
    """Runs `statements` once, with `data` as the array `x`; returns the array `y` of `outputs` numbers."""
    code = f"""
        @group(0) @binding(0) var<storage, read> x: array<{source}>;
        @group(0) @binding(1) var<storage, read_write> y: array<{result}>;
        {declarations}
        @compute @workgroup_size(1) fn main() {{ {statements} }}
    """
    device = on.request_device_sync()
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    given = device.create_buffer_with_data(data=np.array(data, KINDS[source]), usage=usage)
    taken = device.create_buffer(size=4 * outputs, usage=usage)
    module = device.create_shader_module(code=code)
    pipeline = device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "main"}
    )
    entries = [
        {"binding": at, "resource": {"buffer": buffer, "offset": 0, "size": buffer.size}}
        for at, buffer in enumerate((given, taken))
    ]
    group = device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)
    encoder = device.create_command_encoder()
    work = encoder.begin_compute_pass()
    work.set_pipeline(pipeline)
    work.set_bind_group(0, group)
    work.dispatch_workgroups(1)
    work.end()
    device.queue.submit([encoder.finish()])
    return np.frombuffer(device.queue.read_buffer(taken), KINDS[result]).tolist()


def evaluate(on, expression, points):
    """`expression` in `a` and `b` at each point `(a, b)`, of numbers that no compiler can see."""
    lines = [
        f"{{ let a = x[{2 * at}]; let b = x[{2 * at + 1}]; y[{at}] = {expression}; }}"
        for at in range(len(points))
    ]
    return compute(on, "\n".join(lines), [number for point in points for number in point], len(points))


def expect(seen, told, what):
    """Ends the finding with an error if the behavior is no longer the one that it tells."""
    print(f"{what}: {seen}")
    same = len(seen) == len(told) and all(
        a == b or (a != a and b != b) or abs(a - b) <= 1e-5 * abs(b) for a, b in zip(seen, told)
    )
    if not same:
        raise SystemExit(f"changed: {what} was {told}")
