//! Google consent mode v2: the signals by name, and the parameters `gcs` and `gcd`.
//!
//! The parameters are not documented by Google; their letters are the community's finding.

use cairn_model::Choice;

use crate::ConsentError;

/// A signal of consent mode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ModeSignal {
    /// Storage for advertising.
    AdStorage,
    /// Storage for analysis.
    AnalyticsStorage,
    /// Sending the visitor's data to Google for advertising.
    AdUserData,
    /// Personalised advertising.
    AdPersonalization,
    /// Storage for what the site offers.
    FunctionalityStorage,
    /// Storage for what is chosen for the person.
    PersonalizationStorage,
    /// Storage for security.
    SecurityStorage,
}

impl ModeSignal {
    /// All signals; the first four in the order of `gcd`.
    pub const ALL: [ModeSignal; 7] = [
        ModeSignal::AdStorage,
        ModeSignal::AnalyticsStorage,
        ModeSignal::AdUserData,
        ModeSignal::AdPersonalization,
        ModeSignal::FunctionalityStorage,
        ModeSignal::PersonalizationStorage,
        ModeSignal::SecurityStorage,
    ];

    /// The name in `gtag("consent", …)`.
    pub fn name(self) -> &'static str {
        match self {
            ModeSignal::AdStorage => "ad_storage",
            ModeSignal::AnalyticsStorage => "analytics_storage",
            ModeSignal::AdUserData => "ad_user_data",
            ModeSignal::AdPersonalization => "ad_personalization",
            ModeSignal::FunctionalityStorage => "functionality_storage",
            ModeSignal::PersonalizationStorage => "personalization_storage",
            ModeSignal::SecurityStorage => "security_storage",
        }
    }
}

/// How a signal came to be what it is: what the page set first, and what the visitor changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Setting {
    /// The page's default.
    pub default: Option<Choice>,
    /// The update, which is the visitor's.
    pub update: Option<Choice>,
}

impl Setting {
    /// Reads a letter of `gcd`.
    pub fn of_letter(letter: u8) -> Result<Self, ConsentError> {
        const GRANTED: Option<Choice> = Some(Choice::Granted);
        const DENIED: Option<Choice> = Some(Choice::Denied);
        let (default, update) = match letter {
            b'l' => (None, None),
            b'p' => (DENIED, None),
            b'q' => (DENIED, DENIED),
            b't' => (GRANTED, None),
            b'r' => (DENIED, GRANTED),
            b'm' => (None, DENIED),
            b'n' => (None, GRANTED),
            b'u' => (GRANTED, DENIED),
            b'v' => (GRANTED, GRANTED),
            _ => return Err(ConsentError::Value),
        };
        Ok(Setting { default, update })
    }

    /// What holds now.
    pub fn current(self) -> Option<Choice> {
        self.update.or(self.default)
    }

    /// What may be taken for the visitor's word: a yes that only the page set as a default is none, a
    /// no is one in any case.
    pub fn word(self) -> Option<Choice> {
        self.update.or(self.default.filter(|choice| *choice == Choice::Denied))
    }
}

/// The state of all signals, in the order of [`ModeSignal::ALL`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ConsentMode([Option<Setting>; 7]);

impl ConsentMode {
    /// Reads `gcd`: `11p1p1p1p5`, `13t3t3t2t5l1`.
    pub fn of_gcd(text: &str) -> Result<Self, ConsentError> {
        let bytes = text.as_bytes();
        let [b'1', b'1' | b'3', rest @ ..] = bytes else {
            return Err(if bytes.is_empty() { ConsentError::Empty } else { ConsentError::Version });
        };
        let mut mode = ConsentMode::default();
        for place in 0..4 {
            if place > 0 {
                let separator = rest.get(place * 2 - 1).ok_or(ConsentError::Truncated)?;
                if !(b'1'..=b'3').contains(separator) {
                    return Err(ConsentError::Value);
                }
            }
            let letter = rest.get(place * 2).ok_or(ConsentError::Truncated)?;
            mode.0[place] = Some(Setting::of_letter(*letter)?);
        }
        Ok(mode)
    }

    /// Reads `gcs`: `G100`, `G111`, `G1--`. It tells not whether a yes is the visitor's or a default.
    pub fn of_gcs(text: &str) -> Result<Self, ConsentError> {
        let [b'G', b'1', ads, analytics] = text.as_bytes() else {
            return Err(ConsentError::Version);
        };
        let setting = |byte: &u8| {
            let default = match byte {
                b'1' => Some(Choice::Granted),
                b'0' => Some(Choice::Denied),
                b'-' => None,
                _ => return Err(ConsentError::Value),
            };
            Ok(Some(Setting { default, update: None }))
        };
        let mut mode = ConsentMode::default();
        mode.0[0] = setting(ads)?;
        mode.0[1] = setting(analytics)?;
        Ok(mode)
    }

    /// Sets what an update said about a signal; `false`: there is no such signal.
    pub fn update(&mut self, name: &str, choice: Choice) -> bool {
        let place = ModeSignal::ALL.iter().position(|signal| signal.name() == name);
        if let Some(place) = place {
            let default = self.0[place].and_then(|setting| setting.default);
            self.0[place] = Some(Setting { default, update: Some(choice) });
        }
        place.is_some()
    }

    /// A signal's setting; `None` = nothing was said of it.
    pub fn setting(&self, signal: ModeSignal) -> Option<Setting> {
        let place = ModeSignal::ALL.iter().position(|known| *known == signal)?;
        self.0[place]
    }

    /// `gcs` as Google's tags would write it: what holds now of storage for ads and for analysis.
    pub fn gcs(&self) -> String {
        let digit = |signal| match self.setting(signal).and_then(Setting::current) {
            Some(Choice::Granted) => '1',
            Some(Choice::Denied) => '0',
            None => '-',
        };
        let digits = [ModeSignal::AdStorage, ModeSignal::AnalyticsStorage].map(digit);
        format!("G1{}{}", digits[0], digits[1])
    }
}
