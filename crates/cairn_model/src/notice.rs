//! What a visitor is shown when he is asked: the words of banner, preference centre and opt-out page, in four languages.
//!
//! Guarantees: every language has every text; an owner's own words replace single texts and change nothing else. It does
//! not know how they are laid out.

mod privacy_page;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bytes of one text of the owner's.
pub const NOTICE_TEXT_SIZE_BYTES_MAX: usize = 600;

/// Names of the texts that the banner and the preference centre show, in the order of [`LANGUAGES`].
pub const BANNER_TEXTS: [&str; 19] = [
    "title",
    "text",
    "no",
    "yes",
    "settings",
    "centre",
    "centre_text",
    "save",
    "close",
    "analytics",
    "analytics_text",
    "ads",
    "ads_text",
    "personalization",
    "personalization_text",
    "functional",
    "functional_text",
    "gpc",
    "policy",
];

/// Names of the texts of the opt-out page, which follow those of the banner.
pub const OPT_OUT_TEXTS: [&str; 8] = [
    "opt_out_title",
    "opt_out_text",
    "opt_out_open",
    "opt_out_button",
    "opt_out_done",
    "opt_in_button",
    "opt_out_gpc",
    "opt_out_undone",
];

const TEXTS: usize = BANNER_TEXTS.len() + OPT_OUT_TEXTS.len();

/// A language: its tag, its own name, its texts.
pub struct Language {
    /// BCP 47.
    pub tag: &'static str,
    /// As its speakers call it.
    pub name: &'static str,
    texts: [&'static str; TEXTS],
}

/// The languages; the first is for everybody else.
pub static LANGUAGES: [Language; 4] = [
    Language {
        tag: "en",
        name: "English",
        texts: [
            "Your choice",
            "With your permission this site measures how it is used, shows you fitting advertising, and remembers what you set. It works just as well without.",
            "Refuse all",
            "Accept all",
            "Choose one by one",
            "What do you allow?",
            "You can change this at any time.",
            "Save choice",
            "Close",
            "Statistics",
            "Recognise this browser to count visits and see which pages help.",
            "Advertising",
            "Tell advertising partners which ads worked, and show fitting ones. The law may call this selling or sharing.",
            "Personal content",
            "Show what fits earlier visits.",
            "Settings",
            "Remember language, cart and other things that you set.",
            "Your browser asks that your data be neither sold nor shared (Global Privacy Control). This is honoured: advertising stays off unless you allow it here.",
            "Privacy policy",
            "Do not sell or share my personal information",
            "Here you can object to the sale and the sharing of your data for advertising on this site. You need no account and give no name. The choice is kept in this browser.",
            "You have not objected in this browser.",
            "Opt out",
            "You have opted out. Nothing from this browser is sold or shared for advertising.",
            "Allow it",
            "Your browser sends the opt-out signal Global Privacy Control. It is honoured here: nothing is sold or shared for advertising.",
            "You allow sale and sharing for advertising in this browser.",
        ],
    },
    Language {
        tag: "de",
        name: "Deutsch",
        texts: [
            "Ihre Wahl",
            "Mit Ihrer Erlaubnis misst diese Seite, wie sie genutzt wird, zeigt passende Werbung und merkt sich, was Sie einstellen. Sie funktioniert ebenso gut ohne.",
            "Alles ablehnen",
            "Alles erlauben",
            "Einzeln auswählen",
            "Was erlauben Sie?",
            "Sie können das jederzeit ändern.",
            "Auswahl speichern",
            "Schließen",
            "Statistik",
            "Diesen Browser wiedererkennen, um Besuche zu zählen und zu sehen, welche Seiten helfen.",
            "Werbung",
            "Werbepartnern mitteilen, welche Anzeigen gewirkt haben, und passende zeigen. Gesetze nennen das teils Verkauf oder Weitergabe.",
            "Persönliche Inhalte",
            "Zeigen, was zu früheren Besuchen passt.",
            "Einstellungen",
            "Sprache, Warenkorb und anderes merken, was Sie einstellen.",
            "Ihr Browser verlangt, dass Ihre Daten weder verkauft noch weitergegeben werden (Global Privacy Control). Das wird beachtet: Werbung bleibt aus, solange Sie sie hier nicht erlauben.",
            "Datenschutzerklärung",
            "Meine Daten nicht verkaufen oder weitergeben",
            "Hier können Sie dem Verkauf und der Weitergabe Ihrer Daten für Werbung auf dieser Website widersprechen. Sie brauchen kein Konto und nennen keinen Namen. Die Wahl wird in diesem Browser aufbewahrt.",
            "Sie haben in diesem Browser nicht widersprochen.",
            "Widersprechen",
            "Sie haben widersprochen. Von diesem Browser wird nichts für Werbung verkauft oder weitergegeben.",
            "Erlauben",
            "Ihr Browser sendet das Widerspruchssignal Global Privacy Control. Es wird hier beachtet: Nichts wird für Werbung verkauft oder weitergegeben.",
            "Sie erlauben in diesem Browser Verkauf und Weitergabe für Werbung.",
        ],
    },
    Language {
        tag: "fr",
        name: "Français",
        texts: [
            "Votre choix",
            "Avec votre accord, ce site mesure son utilisation, vous montre des publicités adaptées et se souvient de vos réglages. Il fonctionne aussi bien sans.",
            "Tout refuser",
            "Tout accepter",
            "Choisir en détail",
            "Qu’autorisez-vous ?",
            "Vous pouvez changer d’avis à tout moment.",
            "Enregistrer",
            "Fermer",
            "Statistiques",
            "Reconnaître ce navigateur pour compter les visites et voir quelles pages sont utiles.",
            "Publicité",
            "Dire aux partenaires publicitaires quelles annonces ont agi, et en montrer d’adaptées. La loi peut parler de vente ou de partage.",
            "Contenu personnalisé",
            "Montrer ce qui correspond aux visites précédentes.",
            "Réglages",
            "Se souvenir de la langue, du panier et de vos autres réglages.",
            "Votre navigateur demande que vos données ne soient ni vendues ni partagées (Global Privacy Control). C’est respecté : la publicité reste désactivée tant que vous ne l’autorisez pas ici.",
            "Politique de confidentialité",
            "Ne pas vendre ni partager mes données personnelles",
            "Vous pouvez vous opposer ici à la vente et au partage de vos données à des fins publicitaires sur ce site. Ni compte ni nom ne sont nécessaires. Le choix est conservé dans ce navigateur.",
            "Vous ne vous êtes pas opposé dans ce navigateur.",
            "S’opposer",
            "Votre opposition est enregistrée. Rien de ce navigateur n’est vendu ni partagé à des fins publicitaires.",
            "Autoriser",
            "Votre navigateur envoie le signal d’opposition Global Privacy Control. Il est respecté ici : rien n’est vendu ni partagé à des fins publicitaires.",
            "Vous autorisez la vente et le partage à des fins publicitaires dans ce navigateur.",
        ],
    },
    Language {
        tag: "es",
        name: "Español",
        texts: [
            "Su elección",
            "Con su permiso, este sitio mide cómo se usa, le muestra publicidad adecuada y recuerda lo que usted ajusta. Funciona igual de bien sin ello.",
            "Rechazar todo",
            "Aceptar todo",
            "Elegir uno a uno",
            "¿Qué permite usted?",
            "Puede cambiarlo en cualquier momento.",
            "Guardar elección",
            "Cerrar",
            "Estadísticas",
            "Reconocer este navegador para contar visitas y ver qué páginas ayudan.",
            "Publicidad",
            "Decir a los socios publicitarios qué anuncios funcionaron y mostrar los adecuados. La ley puede llamarlo venta o cesión.",
            "Contenido personal",
            "Mostrar lo que encaja con visitas anteriores.",
            "Ajustes",
            "Recordar idioma, cesta y otras cosas que usted ajusta.",
            "Su navegador pide que sus datos no se vendan ni se compartan (Global Privacy Control). Se respeta: la publicidad queda desactivada mientras no la permita aquí.",
            "Política de privacidad",
            "No vender ni compartir mis datos personales",
            "Aquí puede oponerse a la venta y a la cesión de sus datos con fines publicitarios en este sitio. No necesita cuenta ni da ningún nombre. La elección se guarda en este navegador.",
            "No se ha opuesto en este navegador.",
            "Oponerse",
            "Se ha opuesto. Nada de este navegador se vende ni se comparte con fines publicitarios.",
            "Permitirlo",
            "Su navegador envía la señal de oposición Global Privacy Control. Aquí se respeta: nada se vende ni se comparte con fines publicitarios.",
            "Usted permite la venta y la cesión con fines publicitarios en este navegador.",
        ],
    },
];

/// What a site's owner says in the banner's place of words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// Address of the site's privacy policy; empty = none is linked.
    pub policy_url: String,
    /// Own words: language → name of the text → text.
    pub texts: BTreeMap<String, BTreeMap<String, String>>,
}

/// The first wanted language that there is: BCP 47 tags, the best first.
pub fn language<'t>(wanted: impl IntoIterator<Item = &'t str>) -> &'static Language {
    let known = |tag: &str| {
        let primary = tag.split(['-', '_']).next().unwrap_or("").trim();
        LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(primary))
    };
    wanted.into_iter().find_map(known).unwrap_or(&LANGUAGES[0])
}

impl Language {
    /// A text by its name, the owner's own where he wrote one; empty where there is none of this name.
    pub fn text<'n>(&'static self, notice: &'n Notice, name: &str) -> &'n str {
        let own = notice.texts.get(self.tag).and_then(|texts| texts.get(name));
        own.map(String::as_str).or_else(|| self.built_in(name)).unwrap_or("")
    }

    fn built_in(&'static self, name: &str) -> Option<&'static str> {
        let at = names().position(|known| known == name)?;
        self.texts.get(at).copied()
    }

    /// The texts of the banner by their names.
    pub fn banner<'n>(&'static self, notice: &'n Notice) -> Vec<(&'static str, &'n str)> {
        BANNER_TEXTS.iter().map(|name| (*name, self.text(notice, name))).collect()
    }
}

/// Every name that a text may have.
pub fn names() -> impl Iterator<Item = &'static str> {
    BANNER_TEXTS.into_iter().chain(OPT_OUT_TEXTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_there_is_counts() {
        for (wanted, tag) in [
            (vec!["de-AT", "en"], "de"),
            (vec!["pt", "fr_CA", "de"], "fr"),
            (vec!["ES-419"], "es"),
            (vec!["ja", "", "deu"], "en"),
            (vec![], "en"),
        ] {
            assert_eq!(language(wanted.iter().copied()).tag, tag, "{wanted:?}");
        }
    }

    #[test]
    fn an_owner_s_words_replace_one_text_of_one_language() {
        let mut notice = Notice::default();
        let own = [("title".to_owned(), "Kekse?".to_owned())];
        notice.texts.insert("de".to_owned(), own.into());
        let german = language(["de"]);
        assert_eq!(german.text(&notice, "title"), "Kekse?");
        assert_eq!(german.text(&notice, "no"), "Alles ablehnen");
        assert_eq!(language(["en"]).text(&notice, "title"), "Your choice");
        assert_eq!(german.text(&notice, "unheard_of"), "");
        assert_eq!(german.banner(&notice)[0].1, "Kekse?");
    }

    #[test]
    fn yes_and_no_weigh_the_same_and_no_text_is_missing() {
        for language in &LANGUAGES {
            assert!(language.texts.iter().all(|text| !text.is_empty()), "{}", language.tag);
            let length = |name| language.built_in(name).unwrap().chars().count();
            assert!(length("yes").abs_diff(length("no")) <= 2, "{}", language.tag);
        }
    }
}
