//! The fonts and the colours of pictures.
#![allow(dead_code, reason = "each example uses its own part")]

use plotters::prelude::*;
use plotters::style::register_font;

/// Makes the fonts known.
pub fn fonts() {
    // Registering again is harmless; an error would only cost the captions, which drawing reports.
    let _ = register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
}

/// Dark blue to yellow, monotone in lightness.
pub fn colour(value: f64) -> RGBColor {
    const STOPS: [[f64; 3]; 6] = [
        [13.0, 8.0, 35.0],
        [60.0, 15.0, 110.0],
        [140.0, 40.0, 115.0],
        [215.0, 75.0, 70.0],
        [250.0, 150.0, 40.0],
        [252.0, 245.0, 165.0],
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let low = (place as usize).min(STOPS.len() - 2);
    let share = place - low as f64;
    let mix = |at: usize| (STOPS[low][at] * (1.0 - share) + STOPS[low + 1][at] * share) as u8;
    RGBColor(mix(0), mix(1), mix(2))
}
