//! The ear of one who is called to prove a number.

use sottovoce::demo::ear::find;
use sottovoce::demo::errors::prompt_samples;
use sottovoce::demo::media::RATE_HZ;
use sottovoce::demo::phone::Line;

use crate::scene::share;

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The digits of the code, as they were heard: each is the prompt that fits best where the one
/// before it ended.
pub fn heard_code(line: &Line) -> String {
    let heard = line.media.heard().samples;
    let prompt = |stem: &str| prompt_samples(share(), stem).unwrap();
    let digits = DIGITS.map(&prompt);
    let begins = prompt("code-is");
    let found = find(&heard[..heard.len().min(6 * RATE_HZ)], &begins);
    assert!(found.heard(), "the code is announced");
    let mut at = (found.delay.as_secs_f64() * RATE_HZ as f64) as usize + begins.len();

    let mut code = String::new();
    for _ in 0..6 {
        // The first frame of a prompt begins where the last of the one before it ended, and a frame
        // that is not full is filled up.
        let fits = digits.iter().map(|digit| {
            let from = at.saturating_sub(200).min(heard.len());
            let to = (at + digit.len() + 600).min(heard.len());
            (from, find(&heard[from..to], digit))
        });
        let best = fits
            .enumerate()
            .max_by(|(_, (_, one)), (_, (_, other))| one.clarity.total_cmp(&other.clarity));
        let (digit, (from, fit)) = best.unwrap();
        code.push_str(DIGITS[digit]);
        let lag = (fit.delay.as_secs_f64() * RATE_HZ as f64) as usize;
        at = from + lag + digits[digit].len();
    }
    code
}
