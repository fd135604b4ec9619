//! What our pages carry, the report and the live view alike: one plotting library and one look for every proxy.

/// Apache ECharts 6.1 as the global `echarts` with `init`: lines, bars, heat maps, drawn as SVG. `publish/assets/build/build.sh`
/// builds it; its licences stand at its head.
pub const CHARTS: &str = include_str!("../assets/echarts.min.js");

/// JavaScript that defines `PALETTE` and `proxyLook(index, dark)`: the colour and dash of a proxy by its place in the report.
pub const PALETTE: &str = include_str!("../assets/palette.js");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    type Rgb = [f64; 3];
    type Matrix = [Rgb; 3];

    /// Eyes: normal, and those without the long, middle or short cones (Machado, Oliveira and Fernandes, 2009, severity 1,
    /// <https://doi.org/10.1109/TVCG.2009.113>; they apply to linear RGB).
    const EYES: [(&str, Matrix); 4] = [
        ("normal", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ("protan", [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        ("deutan", [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
        ("tritan", [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
    ];
    /// Of RGB to cone responses and from those to lightness and hues (Oklab, <https://bottosson.github.io/posts/oklab/>).
    const TO_CONES: Matrix = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ];
    const TO_LAB: Matrix = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ];
    /// Distance in Oklab. The eight colours of Okabe and Ito themselves are 0.076 apart for the eye that sees them worst.
    const LEAST_DISTANCE: f64 = 0.09;

    fn times(matrix: Matrix, rgb: Rgb) -> Rgb {
        matrix.map(|row| row.iter().zip(rgb).map(|(a, b)| a * b).sum())
    }

    fn linear(colour: &str) -> Rgb {
        [1, 3, 5].map(|at| {
            let part = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn distance(eye: Matrix, a: &str, b: &str) -> f64 {
        let lab = |colour| {
            let cones = times(TO_CONES, times(eye, linear(colour)).map(|part| part.clamp(0.0, 1.0)));
            times(TO_LAB, cones.map(f64::cbrt))
        };
        lab(a).iter().zip(lab(b)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    /// Contrast as WCAG 2.2 has it.
    fn contrast(a: &str, b: &str) -> f64 {
        let light = |colour| linear(colour).iter().zip([0.2126, 0.7152, 0.0722]).map(|(a, b)| a * b).sum::<f64>() + 0.05;
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    fn palette() -> Value {
        let object = PALETTE.split_once("const PALETTE = ").unwrap().1.split_once("};").unwrap().0;
        serde_json::from_str(&format!("{object}}}")).unwrap()
    }

    #[test]
    fn colours_of_proxies_stay_apart_in_every_eye_and_stand_out_from_the_page() {
        for theme in ["light", "dark"] {
            let theme = &palette()[theme];
            let colours: Vec<_> = theme["colours"].as_array().unwrap().iter().map(|colour| colour.as_str().unwrap()).collect();
            for (place, colour) in colours.iter().enumerate() {
                let found = contrast(colour, theme["background"].as_str().unwrap());
                assert!(found >= 3.0, "{colour} has a contrast of {found}");
                for other in &colours[..place] {
                    for (eye, matrix) in EYES {
                        let found = distance(matrix, colour, other);
                        assert!(found >= LEAST_DISTANCE, "{colour} and {other} are {found} apart for {eye} eyes");
                    }
                }
            }
        }
    }

    #[test]
    fn forty_proxies_look_different() {
        let palette = palette();
        let looks = palette["light"]["colours"].as_array().unwrap().len() * palette["dashes"].as_array().unwrap().len();
        assert!(looks >= 40, "only {looks} looks");
        assert_eq!(palette["light"]["colours"].as_array().unwrap().len(), palette["dark"]["colours"].as_array().unwrap().len());
    }

    #[test]
    fn nothing_in_the_scripts_ends_the_element_that_holds_them() {
        for script in [CHARTS, PALETTE] {
            let lower = script.to_ascii_lowercase();
            assert!(!lower.contains("</script") && !lower.contains("<!--") && !lower.contains("<script"));
        }
    }
}
