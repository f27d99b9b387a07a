//! Memory of a plan: scratch values share buffers when their lives do not overlap.

/// One scratch value: its size and the first and last dispatch that touch it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub bytes: u64,
    pub first: usize,
    pub last: usize,
}

/// Which buffer each value lies in, and the size of each buffer.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    pub buffer_of: Vec<usize>,
    pub sizes: Vec<u64>,
}

/// Assigns whole buffers: a value takes the smallest free buffer that holds it, else a new one. A
/// buffer is free again after the last dispatch of its value, never during it, so that no dispatch
/// has two values in one buffer.
pub(crate) fn assign(lives: &[Life]) -> Assignment {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    // Among values born together the largest chooses first: it is the hardest to place.
    order.sort_by_key(|&index| (lives[index].first, std::cmp::Reverse(lives[index].bytes)));
    let mut result = Assignment { buffer_of: vec![0; lives.len()], sizes: Vec::new() };
    let mut busy_until: Vec<usize> = Vec::new();
    for index in order {
        let life = lives[index];
        let free = (0..result.sizes.len())
            .filter(|&buffer| busy_until[buffer] < life.first && result.sizes[buffer] >= life.bytes)
            .min_by_key(|&buffer| result.sizes[buffer]);
        let buffer = free.unwrap_or_else(|| {
            result.sizes.push(life.bytes);
            busy_until.push(0);
            result.sizes.len() - 1
        });
        busy_until[buffer] = life.last;
        result.buffer_of[index] = buffer;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: Life, b: Life) -> bool {
        a.first <= b.last && b.first <= a.last
    }

    #[test]
    fn lives_that_overlap_never_share() {
        let lives: Vec<Life> = (0..60)
            .map(|i| {
                let first = (i * 7) % 23;
                Life { bytes: 16 * (1 + (i as u64 * 13) % 9), first, last: first + (i * 5) % 6 }
            })
            .collect();
        let plan = assign(&lives);
        for (i, &a) in lives.iter().enumerate() {
            assert!(plan.sizes[plan.buffer_of[i]] >= a.bytes);
            for (j, &b) in lives.iter().enumerate().skip(i + 1) {
                assert!(!(overlap(a, b) && plan.buffer_of[i] == plan.buffer_of[j]), "{i} and {j}");
            }
        }
        assert!(plan.sizes.len() < lives.len());
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let lives: Vec<Life> = (0..10).map(|i| Life { bytes: 64, first: i, last: i + 1 }).collect();
        assert_eq!(assign(&lives).sizes.len(), 2);
    }
}
