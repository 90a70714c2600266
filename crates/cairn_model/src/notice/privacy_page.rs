//! The words of the page that shows a visitor what is known about his browser, and of what he takes along.
//!
//! Guarantees: every text is there in every language of [`super::LANGUAGES`], with the same places (`{…}`) for what is
//! filled in.

use super::{LANGUAGES, Language};

/// Name, then the text in the order of [`LANGUAGES`]: English, German, French, Spanish.
static TEXTS: &[(&str, [&str; 4])] = &[
    (
        "title",
        [
            "Your data on this site",
            "Ihre Daten auf dieser Website",
            "Vos données sur ce site",
            "Sus datos en este sitio",
        ],
    ),
    (
        "lead",
        [
            "What is known about this browser here, and what you can do about it. You need no account and give no name.",
            "Was hier über diesen Browser bekannt ist, und was Sie tun können. Sie brauchen kein Konto und nennen keinen Namen.",
            "Ce que l’on sait ici de ce navigateur, et ce que vous pouvez faire. Ni compte ni nom ne sont nécessaires.",
            "Lo que se sabe aquí de este navegador y lo que usted puede hacer. No necesita cuenta ni da ningún nombre.",
        ],
    ),
    ("known", ["What is known", "Was bekannt ist", "Ce que l’on sait", "Lo que se sabe"]),
    (
        "nothing",
        [
            "Nothing is known about this browser: it has no number here. If its visits were counted anonymously, nobody can trace them back to it.",
            "Über diesen Browser ist nichts bekannt: Er hat hier keine Nummer. Wurden seine Besuche anonym gezählt, kann sie niemand zu ihm zurückverfolgen.",
            "On ne sait rien de ce navigateur : il n’a pas de numéro ici. Si ses visites ont été comptées anonymement, personne ne peut les lui rattacher.",
            "No se sabe nada de este navegador: aquí no tiene número. Si sus visitas se contaron de forma anónima, nadie puede atribuírselas.",
        ],
    ),
    (
        "framed",
        [
            "This frame cannot see the cookies of this browser.",
            "Dieser Rahmen kann die Cookies dieses Browsers nicht sehen.",
            "Ce cadre ne peut pas voir les cookies de ce navigateur.",
            "Este marco no puede ver las cookies de este navegador.",
        ],
    ),
    (
        "open",
        [
            "Open in a window of its own",
            "In einem eigenen Fenster öffnen",
            "Ouvrir dans une fenêtre à part",
            "Abrir en una ventana propia",
        ],
    ),
    ("since", ["Known since", "Bekannt seit", "Connu depuis", "Conocido desde"]),
    ("latest", ["Latest event", "Letztes Ereignis", "Dernier événement", "Último evento"]),
    ("visits", ["Visits", "Besuche", "Visites", "Visitas"]),
    ("events", ["Events", "Ereignisse", "Événements", "Eventos"]),
    ("pages", ["Latest pages", "Letzte Seiten", "Dernières pages", "Últimas páginas"]),
    ("place", ["Place", "Ort", "Lieu", "Lugar"]),
    ("device", ["Device", "Gerät", "Appareil", "Dispositivo"]),
    ("source", ["Came from", "Kam von", "Venu de", "Llegó desde"]),
    (
        "remembered",
        ["Remembered for you", "Für Sie gemerkt", "Mémorisé pour vous", "Recordado para usted"],
    ),
    ("until", ["until {day}", "bis {day}", "jusqu’au {day}", "hasta el {day}"]),
    ("person", ["Signed in as", "Angemeldet als", "Connecté en tant que", "Sesión iniciada como"]),
    (
        "unsigned",
        [
            "The site connected this browser with an account. It has not confirmed that the account is yours, so it is not shown here: ask the site.",
            "Die Website hat diesen Browser mit einem Konto verbunden. Sie hat nicht bestätigt, dass es Ihres ist; darum wird es hier nicht gezeigt: Fragen Sie die Website.",
            "Le site a relié ce navigateur à un compte. Il n’a pas confirmé que ce compte est le vôtre ; il n’est donc pas montré ici : adressez-vous au site.",
            "El sitio ha vinculado este navegador a una cuenta. No ha confirmado que sea suya, por eso no se muestra aquí: pregunte al sitio.",
        ],
    ),
    (
        "opted_out",
        [
            "You have opted out: nothing from this browser is kept, not even anonymously.",
            "Sie haben widersprochen: Von diesem Browser wird nichts aufbewahrt, auch nicht anonym.",
            "Vous vous êtes opposé : rien de ce navigateur n’est conservé, pas même anonymement.",
            "Se ha opuesto: no se guarda nada de este navegador, ni siquiera de forma anónima.",
        ],
    ),
    ("choice", ["Your choice", "Ihre Wahl", "Votre choix", "Su elección"]),
    (
        "silent",
        [
            "You have said nothing yet.",
            "Sie haben noch nichts gesagt.",
            "Vous n’avez encore rien dit.",
            "Todavía no ha dicho nada.",
        ],
    ),
    ("chosen", ["Chosen on {day}.", "Gewählt am {day}.", "Choisi le {day}.", "Elegido el {day}."]),
    ("receipts", ["Receipts", "Belege", "Justificatifs", "Justificantes"]),
    ("receipt", ["Number", "Nummer", "Numéro", "Número"]),
    ("time", ["Time", "Zeit", "Heure", "Hora"]),
    ("granted", ["allowed", "erlaubt", "autorisé", "permitido"]),
    ("denied", ["refused", "abgelehnt", "refusé", "rechazado"]),
    (
        "no_receipts",
        [
            "No receipt names this browser. A refusal is proven without naming anybody.",
            "Kein Beleg nennt diesen Browser. Eine Ablehnung wird belegt, ohne jemanden zu nennen.",
            "Aucun justificatif ne nomme ce navigateur. Un refus est prouvé sans nommer personne.",
            "Ningún justificante nombra este navegador. Un rechazo se prueba sin nombrar a nadie.",
        ],
    ),
    (
        "cut",
        [
            "This is not all: more browsers or accounts belong to it than one file holds. Ask for the rest.",
            "Das ist nicht alles: Es gehören mehr Browser oder Konten dazu, als eine Datei fasst. Fragen Sie nach dem Rest.",
            "Ce n’est pas tout : plus de navigateurs ou de comptes en font partie qu’un fichier n’en contient. Demandez le reste.",
            "Esto no es todo: le pertenecen más navegadores o cuentas de los que caben en un archivo. Pida el resto.",
        ],
    ),
    ("out", ["No pixels at all", "Gar keine Pixel", "Aucun pixel", "Ningún píxel"]),
    (
        "out_text",
        [
            "Nothing from this browser is kept any more, not even counted anonymously. The cookie that recognises it goes; a word that names nobody remembers your no.",
            "Von diesem Browser wird nichts mehr aufbewahrt, auch nicht anonym gezählt. Das Cookie, das ihn wiedererkennt, geht; ein Wort, das niemanden nennt, merkt sich Ihr Nein.",
            "Plus rien de ce navigateur n’est conservé, pas même compté anonymement. Le cookie qui le reconnaît disparaît ; un mot qui ne nomme personne retient votre refus.",
            "Ya no se guarda nada de este navegador, ni siquiera contado de forma anónima. La cookie que lo reconoce desaparece; una palabra que no nombra a nadie recuerda su negativa.",
        ],
    ),
    (
        "out_button",
        [
            "Opt out of pixels",
            "Pixeln widersprechen",
            "S’opposer aux pixels",
            "Oponerse a los píxeles",
        ],
    ),
    (
        "back_button",
        [
            "Take the opt-out back",
            "Widerspruch zurücknehmen",
            "Retirer l’opposition",
            "Retirar la oposición",
        ],
    ),
    (
        "take",
        [
            "Take your data along",
            "Ihre Daten mitnehmen",
            "Emporter vos données",
            "Llevarse sus datos",
        ],
    ),
    (
        "take_text",
        [
            "Everything that is kept about this browser, in one file.",
            "Alles, was über diesen Browser aufbewahrt wird, in einer Datei.",
            "Tout ce qui est conservé sur ce navigateur, en un seul fichier.",
            "Todo lo que se guarda de este navegador, en un solo archivo.",
        ],
    ),
    (
        "take_html",
        [
            "Download to read",
            "Zum Lesen herunterladen",
            "Télécharger pour lire",
            "Descargar para leer",
        ],
    ),
    (
        "take_json",
        [
            "Download for programs (JSON)",
            "Für Programme herunterladen (JSON)",
            "Télécharger pour logiciels (JSON)",
            "Descargar para programas (JSON)",
        ],
    ),
    ("erase", ["Erase", "Löschen", "Effacer", "Borrar"]),
    (
        "erase_text",
        [
            "All visits and events of this browser, what is remembered for it, and its cookies but the one that holds your choice.",
            "Alle Besuche und Ereignisse dieses Browsers, was für ihn gemerkt ist, und seine Cookies bis auf das mit Ihrer Wahl.",
            "Toutes les visites et tous les événements de ce navigateur, ce qui est mémorisé pour lui, et ses cookies sauf celui de votre choix.",
            "Todas las visitas y eventos de este navegador, lo que se recuerda para él, y sus cookies salvo la de su elección.",
        ],
    ),
    ("erase_button", ["Erase everything …", "Alles löschen …", "Tout effacer …", "Borrar todo …"]),
    (
        "confirm",
        [
            "Really erase everything?",
            "Wirklich alles löschen?",
            "Vraiment tout effacer ?",
            "¿Borrar todo de verdad?",
        ],
    ),
    (
        "confirm_text",
        [
            "Events: {events}. Visits: {visits}. They cannot be brought back.",
            "Ereignisse: {events}. Besuche: {visits}. Sie lassen sich nicht zurückholen.",
            "Événements : {events}. Visites : {visits}. Ils ne pourront pas être récupérés.",
            "Eventos: {events}. Visitas: {visits}. No se pueden recuperar.",
        ],
    ),
    ("confirm_button", ["Erase now", "Jetzt löschen", "Effacer maintenant", "Borrar ahora"]),
    ("cancel", ["Keep everything", "Alles behalten", "Tout garder", "Conservar todo"]),
    (
        "reference",
        [
            "Your request has the number {reference}, which names nobody.",
            "Ihr Antrag hat die Nummer {reference}, die niemanden nennt.",
            "Votre demande porte le numéro {reference}, qui ne nomme personne.",
            "Su solicitud tiene el número {reference}, que no nombra a nadie.",
        ],
    ),
    (
        "erasing",
        [
            "Nothing new is kept, no report shows anything of this browser any more, and what is left in files is being overwritten.",
            "Neues wird nicht aufbewahrt, kein Bericht zeigt noch etwas von diesem Browser, und was in Dateien übrig ist, wird überschrieben.",
            "Rien de nouveau n’est conservé, aucun rapport ne montre plus rien de ce navigateur, et ce qui reste dans les fichiers est en cours d’écrasement.",
            "No se guarda nada nuevo, ningún informe muestra ya nada de este navegador, y lo que queda en los archivos se está sobrescribiendo.",
        ],
    ),
    (
        "waiting",
        [
            "Nothing new is kept, and what was kept is being erased.",
            "Neues wird nicht aufbewahrt, und was aufbewahrt war, wird gerade gelöscht.",
            "Rien de nouveau n’est conservé, et ce qui l’était est en cours d’effacement.",
            "No se guarda nada nuevo, y lo guardado se está borrando.",
        ],
    ),
    (
        "erased",
        [
            "Everything was erased on {day}.",
            "Alles wurde am {day} gelöscht.",
            "Tout a été effacé le {day}.",
            "Todo se borró el {day}.",
        ],
    ),
    (
        "remains",
        [
            "What stays names nobody: the proof of choices without your number, and a keyed number by which nothing new of the erased browser is kept.",
            "Was bleibt, nennt niemanden: der Beleg von Entscheidungen ohne Ihre Nummer, und eine verschlüsselte Nummer, durch die vom gelöschten Browser nichts Neues aufbewahrt wird.",
            "Ce qui reste ne nomme personne : la preuve des choix sans votre numéro, et un numéro chiffré grâce auquel rien de nouveau du navigateur effacé n’est conservé.",
            "Lo que queda no nombra a nadie: la prueba de las elecciones sin su número, y un número cifrado por el que no se guarda nada nuevo del navegador borrado.",
        ],
    ),
    ("again", ["Look again", "Noch einmal nachsehen", "Regarder à nouveau", "Volver a mirar"]),
    ("back", ["Back", "Zurück", "Retour", "Volver"]),
    ("export", ["Your data", "Ihre Daten", "Vos données", "Sus datos"]),
    ("made_at", ["Made on {day}.", "Erstellt am {day}.", "Établi le {day}.", "Hecho el {day}."]),
    ("people", ["Accounts", "Konten", "Comptes", "Cuentas"]),
    (
        "mail_choices",
        [
            "Said about mails",
            "Zu Mails gesagt",
            "Dit au sujet des courriels",
            "Dicho sobre los correos",
        ],
    ),
    ("opens", ["Opens", "Öffnen", "Ouvertures", "Aperturas"]),
    ("clicks", ["Clicks", "Klicks", "Clics", "Clics"]),
    ("what", ["What", "Was", "Quoi", "Qué"]),
    ("page", ["Page", "Seite", "Page", "Página"]),
    ("details", ["Details", "Einzelheiten", "Détails", "Detalles"]),
    ("name", ["Name", "Name", "Nom", "Nombre"]),
    ("value", ["Value", "Wert", "Valeur", "Valor"]),
    ("none", ["None.", "Keine.", "Aucun.", "Ninguno."]),
];

impl Language {
    /// A text of the page by its name; empty where there is none of this name.
    pub fn page_text(&'static self, name: &str) -> &'static str {
        let place = LANGUAGES.iter().position(|language| language.tag == self.tag).unwrap_or(0);
        let found = TEXTS.iter().find(|(known, _)| *known == name);
        found.and_then(|(_, texts)| texts.get(place)).copied().unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect()
    }

    #[test]
    fn every_text_is_there_in_every_language_with_its_places() {
        let names: BTreeSet<_> = TEXTS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), TEXTS.len(), "each once");
        for (name, texts) in TEXTS {
            for text in texts {
                assert!(!text.is_empty(), "{name}");
                assert_eq!(places(text), places(texts[0]), "{name}: {text}");
            }
        }
        assert_eq!(LANGUAGES[1].page_text("erase"), "Löschen");
        assert_eq!(LANGUAGES[0].page_text("unheard_of"), "");
    }
}
