"""Phrases that the scripted model puts around what it takes from a passage, by language. All of them are ours."""

from __future__ import annotations

# {} is a topic of the passage.
QUESTIONS: dict[str, list[str]] = {
    "en": [
        "What is known about {}?",
        "Why does {} matter here?",
        "How does {} come into it?",
        "What happened with {}?",
        "Which role did {} play?",
        "What should one remember about {}?",
        "What can be said of {}?",
        "In what way is {} involved?",
        "What makes {} worth a mention?",
        "How would you describe {}?",
        "What is to be learned from {}?",
        "Where does {} fit in?",
    ],
    "de": [
        "Was weiß man über {}?",
        "Warum ist {} hier wichtig?",
        "Welche Rolle spielt {}?",
        "Was geschah mit {}?",
        "Wie hängt {} damit zusammen?",
        "Was sollte man sich zu {} merken?",
        "Wie lässt sich {} beschreiben?",
        "Was ist an {} bemerkenswert?",
    ],
    "fr": [
        "Que sait-on de {} ?",
        "Pourquoi {} est-il important ici ?",
        "Quel rôle joue {} ?",
        "Que s'est-il passé avec {} ?",
        "Comment décrire {} en quelques mots ?",
        "Que faut-il retenir de {} ?",
        "En quoi {} est-il concerné ?",
    ],
    "es": [
        "¿Qué se sabe de {}?",
        "¿Por qué es importante {}?",
        "¿Qué papel tiene {}?",
        "¿Qué ocurrió con {}?",
        "¿Cómo se puede describir {}?",
        "¿Qué conviene recordar de {}?",
        "¿De qué manera interviene {}?",
    ],
    "it": ["Che cosa si sa di {}?", "Perché {} è importante?", "Quale ruolo ha {}?", "Come si può descrivere {}?"],
    "pt": ["O que se sabe sobre {}?", "Por que {} é importante?", "Qual é o papel de {}?", "Como descrever {}?"],
    "nl": [
        "Wat is er bekend over {}?",
        "Waarom is {} belangrijk?",
        "Welke rol speelt {}?",
        "Hoe is {} te beschrijven?",
    ],
    "ru": ["Что известно о {}?", "Почему важно {}?", "Какую роль играет {}?", "Как можно описать {}?"],
    "zh": ["关于{}，人们知道什么？", "为什么{}很重要？", "{}起了什么作用？", "应该怎样描述{}？"],
    "ja": [
        "{}について何が分かっていますか？",
        "なぜ{}が重要なのですか？",
        "{}の役割は何ですか？",
        "{}はどのように説明できますか？",
    ],
}
ANY_QUESTION = ["{}?"]

GAPS: dict[str, str] = {
    "en": "Which words belong in the gap of “{}”?",
    "de": "Welche Wörter gehören in die Lücke von „{}“?",
    "fr": "Quels mots manquent dans « {} » ?",
    "es": "¿Qué palabras faltan en «{}»?",
    "zh": "“{}”的空缺处应该填什么？",
    "ja": "「{}」の空いたところに入る言葉は何ですか？",
}
ANY_GAP = "“{}”?"

THOUGHTS: dict[str, list[str]] = {
    "en": [
        "I keep coming back to {}, because the rest only holds if that part is right.",
        "What exactly would have to be different for {} to turn out the other way?",
        "Suppose for a moment that nothing was known of {}; then most of this could not be concluded at all.",
        "It is tempting to pass over {} quickly, yet that is where an assumption is hidden.",
        "Let me test this on a simple case of {} before I trust it.",
        "One could object that {} is only an example, but then an example is just what is needed to see the rule.",
        "If I compare it with what I know of {}, the two agree, and that makes me more confident.",
        "I was not sure at first why {} is brought up; now it seems to be the reason for what follows.",
        "So two things are connected here, and {} is what connects them.",
        "A careful reader would ask for the source of that, above all where {} is concerned.",
        "Working backwards from {}, I arrive at the same point, so nothing has been skipped.",
        "That leaves one doubt about {}, which I can live with, since nothing else depends on it.",
    ],
    "de": [
        "Ich komme immer wieder auf {} zurück, denn der Rest gilt nur, wenn dieser Teil stimmt.",
        "Was müsste anders sein, damit es bei {} umgekehrt ausgeht?",
        "Angenommen, man wüsste nichts von {}: Dann ließe sich das meiste davon gar nicht folgern.",
        "Man liest über {} leicht hinweg, und doch steckt gerade dort eine Annahme.",
        "Ich prüfe das erst an einem einfachen Fall von {}, bevor ich ihm traue.",
        "Vergleiche ich es mit dem, was ich von {} weiß, so passt beides zusammen.",
        "Zuerst war mir nicht klar, warum von {} die Rede ist; nun scheint es der Grund für das Folgende zu sein.",
        "Bleibt ein Zweifel an {}, mit dem ich leben kann, weil sonst nichts davon abhängt.",
    ],
    "fr": [
        "Je reviens sans cesse à {}, car le reste ne tient que si cette partie est juste.",
        "Que faudrait-il changer pour que {} tourne autrement ?",
        "Supposons que l'on ne sache rien de {} : presque rien de tout cela ne pourrait être conclu.",
        "On passe vite sur {}, et pourtant c'est là que se cache une hypothèse.",
        "Je vérifie cela sur un cas simple de {} avant de m'y fier.",
        "Si je le compare à ce que je sais de {}, les deux s'accordent.",
        "Il reste un doute sur {}, mais rien d'autre n'en dépend.",
    ],
    "es": [
        "Vuelvo una y otra vez a {}, porque lo demás solo vale si esa parte es correcta.",
        "¿Qué tendría que ser distinto para que {} resultara al revés?",
        "Supongamos que no se supiera nada de {}: casi nada de esto podría concluirse.",
        "Es fácil pasar deprisa por {}, pero ahí se esconde un supuesto.",
        "Antes de fiarme, lo pruebo con un caso sencillo de {}.",
        "Si lo comparo con lo que sé de {}, las dos cosas concuerdan.",
        "Queda una duda sobre {}, pero nada más depende de ella.",
    ],
}

LINKS: dict[str, list[str]] = {
    "en": [
        "What {0} means becomes clearer next to {1}.",
        "Between {0} and {1} there is more than a chance encounter.",
        "Whoever asks about {0} soon comes to {1}.",
        "Each of the two, {0} and {1}, explains a part of the other.",
        "Seen from {1}, {0} looks less obvious than it did.",
    ],
    "de": [
        "Was {0} bedeutet, wird neben {1} deutlicher.",
        "Zwischen {0} und {1} besteht mehr als ein zufälliger Zusammenhang.",
        "Wer nach {0} fragt, kommt bald zu {1}.",
        "Von {1} aus gesehen wirkt {0} weniger selbstverständlich.",
    ],
    "fr": [
        "Ce que signifie {0} devient plus clair à côté de {1}.",
        "Entre {0} et {1}, il y a plus qu'une rencontre fortuite.",
        "Qui s'interroge sur {0} en vient bientôt à {1}.",
        "Vu de {1}, {0} paraît moins évident.",
    ],
    "es": [
        "Lo que significa {0} se entiende mejor junto a {1}.",
        "Entre {0} y {1} hay más que un encuentro casual.",
        "Quien pregunta por {0} llega pronto a {1}.",
        "Desde {1}, lo que es {0} parece menos evidente.",
    ],
}

REQUESTS: dict[str, list[str]] = {
    "en": [
        "Please write a detailed text about {0} that also says something about {1}.",
        "Explain {0} to me, with {1}.",
        "I have to give a talk on {0} and know little about {1}; can you write me something to start from?",
        "Give an account of {0}: facts first, then what it has to do with {1}.",
        "{0} and {1}: what should I know?",
        "Tell readers who are new to {0} what they need to know, and mention {1}.",
    ],
    "de": [
        "Bitte schreibe einen ausführlichen Text über {0}, in dem auch {1} vorkommt.",
        "Erkläre mir {0} anhand von {1}.",
        "Ich soll über {0} sprechen und weiß wenig von {1}; kannst du mir etwas aufschreiben?",
    ],
    "fr": [
        "Écris un texte détaillé sur {0} où il est aussi question de {1}.",
        "Explique-moi {0} à l'aide de {1}.",
        "Je dois présenter {0} et je connais mal {1} ; peux-tu m'écrire quelque chose ?",
    ],
    "es": [
        "Escribe un texto detallado sobre {0} en el que también aparezca {1}.",
        "Explícame {0} por medio de {1}.",
        "Tengo que hablar de {0} y sé poco de {1}; ¿puedes escribirme algo?",
    ],
}
ANY_REQUEST = ["{0}, {1}?", "{0}: {1}?"]

# {0} and {1} are topics, {2} and {3} numbers.
PROBLEMS: dict[str, list[str]] = {
    "en": [
        "For {0} a group records {2} entries, for {1} {3} more, and each takes three minutes. How long does it take?",
        "{2} pupils work on {0}, {3} more on {1}, and each of them writes three pages. How many pages are written?",
        "A shelf on {0} holds {2} folders, one on {1} {3}; each folder has three parts. How many parts are there?",
    ],
    "de": [
        "Für {0} gibt es {2} Einträge, für {1} noch {3}; jeder dauert drei Minuten. Wie lange dauert es im Ganzen?",
        "{2} Schüler befassen sich mit {0}, {3} mit {1}; jeder schreibt drei Seiten. Wie viele Seiten sind das?",
    ],
    "fr": [
        "Pour {0}, il y a {2} notes, pour {1} {3}, et chacune prend trois minutes. Combien de temps faut-il ?",
        "{2} élèves travaillent sur {0}, {3} sur {1}, et chacun écrit trois pages. Combien de pages cela fait-il ?",
    ],
    "es": [
        "Para {0} hay {2} entradas, para {1} otras {3}, y cada una lleva tres minutos. ¿Cuánto se tarda?",
        "{2} alumnos trabajan sobre {0}, otros {3} sobre {1}, y cada uno escribe tres páginas. ¿Cuántas páginas son?",
    ],
}
# {2} and {3} are the numbers of the problem, {4} their sum, {5} three times that.
SOLUTIONS: dict[str, list[str]] = {
    "en": [
        "First collect what is given: {2} for {0}, and {3} that belongs to {1}.",
        "Then add and multiply: {2} + {3} = {4}, and three times that is {5}.",
        "To check, divide {5} by three, which gives {4} again; taking {3} away leaves {2}.",
        "So the answer, for {0} and {1} together, is {5}.",
    ],
    "de": [
        "Gegeben sind {2} für {0} und {3} für {1}.",
        "Zuerst wird addiert, dann multipliziert: {2} + {3} = {4}, und dreimal so viel ist {5}.",
        "Zur Probe wird {5} durch drei geteilt, das gibt wieder {4}; ohne {3} bleiben {2}.",
        "Die Antwort ist also für {0} und {1} zusammen {5}.",
    ],
    "fr": [
        "On connaît {2} pour {0} et {3} pour {1}.",
        "On additionne, puis on multiplie : {2} + {3} = {4}, et le triple est {5}.",
        "Pour vérifier, on divise {5} par trois, ce qui redonne {4} ; sans {3}, il reste {2}.",
        "La réponse, pour {0} et {1} ensemble, est donc {5}.",
    ],
    "es": [
        "Se conocen {2} para {0} y {3} para {1}.",
        "Primero se suma y luego se multiplica: {2} + {3} = {4}, y el triple es {5}.",
        "Para comprobarlo se divide {5} entre tres, lo que da otra vez {4}; sin {3} quedan {2}.",
        "La respuesta, para {0} y {1} juntos, es {5}.",
    ],
}

HEADERS: dict[str, tuple[str, str]] = {
    "en": ("Subject", "What is stated"),
    "de": ("Thema", "Aussage"),
    "fr": ("Sujet", "Ce qui en est dit"),
    "es": ("Tema", "Lo que se dice"),
    "it": ("Tema", "Che cosa si dice"),
    "pt": ("Tema", "O que se diz"),
    "nl": ("Onderwerp", "Wat erover gezegd wordt"),
    "ru": ("Тема", "Что сказано"),
    "zh": ("主题", "内容"),
    "ja": ("主題", "内容"),
}
ANY_HEADER = ("A", "B")

PREFACES = ["Sure, here is the rewritten text:", "Here is the revised version of the passage:"]
REASONING = (
    "1. Purpose. The draft wants to inform readers about {0}. It has the facts, but their order hides how {0} and {1} "
    "belong together.\n2. Plan. Begin with {0}; bring together what is said of {1}; leave out what only frames the "
    "page; end with what follows.\n3. Text.\n"
)
