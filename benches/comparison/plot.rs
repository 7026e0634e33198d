//! The table as a picture.

use crate::rows::Row;
use std::fmt::Write;

/// Bars of how many times sooner ours is done, on a logarithmic scale; a line where it must be.
pub fn svg(rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.is_speedup()).collect();
    let (left, width, step) = (330.0, 420.0, 26.0);
    let highest = rows.iter().map(|row| row.ratio()).fold(10.0, f64::max).log10().ceil();
    let at = |ratio: f64| left + ratio.max(1.0).log10() / highest * width;
    let height = 60.0 + step * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"800\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"16\" y=\"22\" font-size=\"14\">How many times sooner pg_auth is done (the red line is what it must reach)</text>\n"
    );
    for power in 0..=highest as i32 {
        let (x, label) = (at(10_f64.powi(power)), 10_i64.pow(power as u32));
        writeln!(svg, "<line x1=\"{x:.0}\" y1=\"34\" x2=\"{x:.0}\" y2=\"{:.0}\" stroke=\"#ddd\"/><text x=\"{x:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#666\">{label}</text>", height - 20.0, height - 6.0).expect("text");
    }
    for (n, row) in rows.iter().enumerate() {
        let y = 38.0 + step * n as f64;
        let must = at(row.must);
        writeln!(svg, "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect x=\"{left}\" y=\"{y:.0}\" width=\"{:.0}\" height=\"16\" fill=\"#336791\"/><line x1=\"{must:.0}\" y1=\"{y:.0}\" x2=\"{must:.0}\" y2=\"{:.0}\" stroke=\"#c00\" stroke-width=\"2\"/><text x=\"{:.0}\" y=\"{:.0}\">{:.0}</text>", left - 8.0, y + 12.0, row.what, at(row.ratio()) - left, y + 16.0, at(row.ratio()) + 6.0, y + 12.0, row.ratio()).expect("text");
    }
    svg + "</svg>\n"
}
