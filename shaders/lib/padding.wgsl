// Packed rows: their columns are padded with zeros to whole vec4s.

// Zeroes the columns from `width` on in the vec4 `column4` of a row.
fn inside_only(v: vec4<f32>, column4: u32, width: u32) -> vec4<f32> {
    let column = vec4<u32>(4u * column4) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), v, column < vec4<u32>(width));
}
