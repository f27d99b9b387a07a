//! Logarithms of densities.

/// Half the logarithm of a full turn, `ln(2 pi) / 2`, which normalizes a normal density.
pub const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;

/// `ln sum exp`, without overflow; `-inf` if all terms are, or there is none.
pub fn log_sum_exp(terms: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.into_iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_exponentials_neither_overflow_nor_vanish() {
        assert!((HALF_LOG_TAU - 0.5 * std::f64::consts::TAU.ln()).abs() < 1e-15);
        let two = std::f64::consts::LN_2;
        for shift in [0.0, 1e6, -1e6] {
            assert!((log_sum_exp([shift, shift]) - shift - two).abs() < 1e-9);
        }
        assert_eq!(log_sum_exp([f64::NEG_INFINITY; 2]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp([]), f64::NEG_INFINITY);
        assert_eq!(log_sum_exp([f64::NEG_INFINITY, 3.0]), 3.0);
    }
}
