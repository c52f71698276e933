"""How models refuse, and what they say before and after what was asked for, in twelve languages.

Only the beginning and the end of an answer are read: a text may speak of refusals, and of models. What the beginning
or end of the passage matches too is the passage's own.
"""

from __future__ import annotations

import polars as pl

READ_CHARS = 280  # of the beginning, and of the end
_EVIDENCE_CHARS = 80

_CANNOT_EN = (
    r"i(?:['’]m| am)? ?(?:can['’]?t|cannot|can not|won['’]t|will not|(?:not able|unable|not allowed|not permitted"
    r"|not comfortable|not going) to|not in a position to|must decline|have to decline|do not|don['’]t)"
)
_SERVICES_EN = (
    r"(?:assist|help (?:you )?with|comply|fulfil|rewrit|re-?phras|paraphras|summari[sz]|translat|process|provid"
    r"|generat|creat|produc|complet|do (?:that|this)|engage|answer|continu|writ|your request|this request)"
)
# A sentence of an assistant that does not do what it was asked. At the very beginning.
_REFUSALS = {
    "en": (
        r"(?:i(?:['’]m| am) (?:very |so |really |truly )?sorry|sorry|(?:my )?apolog(?:ies|y)|i apologi[sz]e"
        r"|unfortunately|i(?:['’]m| am) afraid)[,.!;: —–-]+(?:but )?(?:that )?(?:as an? (?:ai|language model|assistant)"
        rf"[^\n.]{{0,60}}?,? ?)?{_CANNOT_EN}(?:[.!\n]|$|[^\n.]{{0,60}}?{_SERVICES_EN})"
        rf"|{_CANNOT_EN} (?:to )?{_SERVICES_EN}"
        r"|as an? (?:ai|artificial intelligence|(?:large )?language model)"
        r"(?: (?:language )?model| assistant| system| developed by [^\n.,]{0,20})*,? i\b"
        r"|(?:this|the|your) (?:request|text|passage|content) (?:violates|goes against|conflicts with|is against) "
        r"(?:my|our) (?:guidelines|polic|content polic|principles)"
        r"|please (?:provide|share|paste) (?:me with )?the (?:text|passage|document)"
        r" (?:you|that you|so that i|so i|and i)"
        r"|(?:it (?:seems|appears|looks like)|there (?:seems|appears)) (?:that )?(?:there is |to be )?"
        r"(?:no (?:text|passage|document)|you (?:have not|haven['’]t|did not|didn['’]t) provide)"
    ),
    "de": (
        r"(?:es tut mir (?:sehr )?leid|tut mir (?:sehr )?leid|leider|entschuldigung|ich bedau[e]?re)[,.!: "
        r"—–-]*(?:aber )?(?:als (?:ki|sprachmodell|künstliche intelligenz)[^\n.]{0,40} ?)?(?:ich kann|kann ich|ich "
        r"darf|darf ich|ich bin nicht|bin ich nicht|dabei kann ich|ich muss ablehnen)[^\n.]{0,60}(?:nicht|kein"
        r"|ablehnen)"
        r"|ich kann (?:ihnen |dir )?(?:dabei|damit|bei dieser anfrage|diese anfrage|diesen text|dieser "
        r"bitte)[^\n.]{0,50}nicht|als (?:eine? )?(?:ki|ki-modell|ki-assistent|sprachmodell|großes sprachmodell)[ "
        r",][^\n.]{0,20}(?:kann|darf|bin|habe) ich"
    ),
    "fr": (
        r"(?:je suis (?:vraiment |sincèrement )?désolée?|désolée?|malheureusement|je m['’]excuse|je regrette)[,.!: "
        r"—–-]*(?:mais )?(?:en tant qu[^\n.,]{0,40}, ?)?je (?:ne (?:peux|puis|suis)|n['’]ai pas|dois refuser)"
        r"|je ne (?:peux|suis) pas (?:en mesure de |capable de )?(?:vous |t['’])?(?:aider|répondre|réécrire"
        r"|reformuler|traiter|fournir|satisfaire|traduire|résumer)|en tant qu(?:e |['’])(?:ia|assistant|modèle (?:de "
        r"langage|linguistique)|intelligence artificielle)[^\n.]{0,40}je"
    ),
    "es": (
        r"(?:lo siento|lo lamento|lamentablemente|desafortunadamente|disculp[ae]|perdón)[,.!: —–-]*(?:mucho[,.]? "
        r"?)?(?:pero )?(?:como (?:ia|modelo)[^\n.,]{0,40}, ?)?no (?:puedo|me es posible|soy capaz|estoy en "
        r"condiciones|tengo permitido)"
        r"|no puedo (?:ayudarte|ayudarle|ayudar con|cumplir|reescribir|procesar|proporcionar|generar|traducir|resumir"
        r"|realizar)|como (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje|asistente de ia)[ "
        r",][^\n.]{0,20}no"
    ),
    "it": (
        r"(?:mi (?:dispiace|spiace)|spiacente|purtroppo|mi scuso)[,.!: —–-]*(?:molto[,.]? ?)?(?:ma )?(?:in quanto "
        r"[^\n.,]{0,40}, ?)?non (?:posso|sono in grado|mi è possibile)"
        r"|non (?:posso|sono in grado di) (?:aiutart[iv]|aiutarl[ao]|aiutare|soddisfare|riscrivere|elaborare|fornire"
        r"|tradurre|riassumere)|(?:in quanto|come) (?:ia|intelligenza artificiale|modello linguistico|assistente ia)[ "
        r",][^\n.]{0,20}non"
    ),
    "pt": (
        r"(?:sinto muito|lamento|desculp[ea]|infelizmente|peço desculpas?)[,.!: —–-]*(?:mas )?(?:como [^\n.,]{0,40}, "
        r"?)?(?:eu )?não (?:posso|consigo|sou capaz|me é possível|tenho permissão)"
        r"|(?:eu )?não (?:posso|consigo) (?:ajudar|ajudá-l|atender|cumprir|reescrever|processar|fornecer|traduzir"
        r"|resumir|realizar)|como (?:uma? )?(?:ia|inteligência artificial|modelo de linguagem|assistente de ia)[ "
        r",][^\n.]{0,20}não"
    ),
    "nl": (
        r"(?:het spijt me|sorry|helaas|excuses)[,.!: —–-]*(?:maar )?(?:als [^\n.,]{0,40}, ?)?(?:ik kan|kan ik|ik mag"
        r"|mag ik|ik ben niet|ben ik niet)[^\n.]{0,60}(?:niet|geen)"
        r"|ik kan (?:u |je )?(?:hier|daar|hierbij|daarbij|dit verzoek|deze tekst)[^\n.]{0,40}niet|als (?:een )?(?:ai"
        r"|ai-model|taalmodel|ai-assistent)[ ,][^\n.]{0,20}(?:kan|mag|ben|heb) ik"
    ),
    "ru": (
        r"(?:мне (?:очень )?жаль|извините|простите|к сожалению|прошу прощения|приношу (?:свои )?извинения)[,.!: "
        r"—–-]*(?:но )?(?:как [^\n.,]{0,40}, ?)?я (?:не (?:могу|в состоянии|имею|способ)|вынужден)"
        r"|я не могу (?:вам |тебе )?(?:помочь|выполнить|переписать|обработать|предоставить|перевести|ответить)|(?:как"
        r"|будучи) (?:ии|искусственный интеллект|языковая модель|языковой моделью|ии-ассистент)[ ,][^\n.]{0,20}я"
    ),
    "zh": (
        r"(?:(?:非常|很|真的)?(?:抱歉|对不起|對不起)|不好意思|很遗憾|很遺憾)[，,。！!：: ]*(?:但"
        r"|但是)?(?:作为[^\n。，]{0,20}，?)?我?(?:不能|无法|無法|没有办法|不便"
        r"|不可以)"
        r"|我(?:不能|无法|無法)(?:协助|帮助|幫助|满足|完成|提供|改写|重写|处理|翻译|回答)|(?:作为|作為|身为)(?:一个|一個|一名)?(?:ai|人工智能|人工智慧|(?:大型)?语言模型|語言模型)"
    ),
    "ja": (
        r"(?:(?:大変|誠に)?申し訳(?:ありません|ございません|ないです)(?:が)?"
        r"|すみません(?:が)?|恐れ入りますが|残念ながら|ごめんなさい)[、，,。.！! "
        r"]*[^\n。]{0,60}(?:できません|できかねます|いたしかねます|お手伝いできません|お答えできません|出来ません)"
        r"|(?:私は)?(?:ai|人工知能|(?:大規模)?言語モデル)(?:アシスタント)?(?:として|なので|ですので|であり)"
    ),
    "pl": (
        r"(?:przykro mi|przepraszam|niestety|przepraszamy)[,.!: —–-]*(?:ale )?(?:jako [^\n.,]{0,40}, ?)?nie (?:mogę"
        r"|jestem w stanie|potrafię)"
        r"|nie mogę (?:pomóc|spełnić|przepisać|przetworzyć|przetłumaczyć)|jako (?:model językowy|sztuczna "
        r"inteligencja|asystent ai)[ ,]"
    ),
    "sv": (
        r"(?:jag är (?:mycket )?ledsen|förlåt|tyvärr|jag beklagar|ursäkta)[,.!: —–-]*(?:men )?(?:som [^\n.,]{0,40} "
        r"?)?(?:jag kan|kan jag|jag får|får jag)[^\n.]{0,30}inte"
        r"|jag kan inte (?:hjälpa|uppfylla|skriva om|bearbeta|översätta)|som (?:en )?(?:ai|ai-modell|språkmodell"
        r"|ai-assistent)[ ,][^\n.]{0,20}(?:kan|får|har) jag"
    ),
}

# An assistant that agrees, with what it says next: that the text follows.
_ASSENTS = {
    "en": (
        r"sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|definitely|no problem|happy to help|with "
        r"pleasure|understood|got it|yes|gladly"
    ),
    "de": r"gerne?|natürlich|selbstverständlich|klar|sicher|na klar|aber gern|okay|alles klar|verstanden|ja",
    "fr": r"bien sûr|certainement|avec plaisir|d['’]accord|volontiers|absolument|entendu|très bien|oui|voilà",
    "es": r"claro(?: que sí)?|por supuesto|desde luego|con (?:mucho )?gusto|de acuerdo|entendido|seguro|sí|perfecto",
    "it": (
        r"certo|certamente|naturalmente|volentieri|con piacere|d['’]accordo|va bene|ecco(?:lo|la)?|sì|assolutamente"
    ),
    "pt": r"claro(?: que sim)?|com certeza|certamente|com prazer|de acordo|entendido|sim|sem problemas|perfeito",
    "nl": r"natuurlijk|zeker|uiteraard|graag(?: gedaan)?|prima|oké|begrepen|met plezier|ja",
    "ru": r"конечно|разумеется|безусловно|хорошо|с удовольствием|понял|да",
    "zh": r"当然(?:可以)?|當然(?:可以)?|好的|没问题|沒問題|可以|好",
    "ja": r"もちろん(?:です)?|はい|承知(?:いた)?しました|かしこまりました|了解(?:しました|です)|わかりました",
    "pl": r"oczywiście|jasne|pewnie|z przyjemnością|dobrze|rozumiem|tak",
    "sv": r"självklart|naturligtvis|visst|gärna|absolut|okej|javisst|ja",
}
_PRESENTS = {
    "en": (
        r"(?:here(?:['’]s| is| are| you go)|this is|below (?:is|are|you)|the following|i(?:['’]ve| have| will|['’]ll| "
        r"can|['’]d))"
    ),
    "de": r"(?:hier (?:ist|sind|kommt|finden|folgt)|nachfolgend|im folgenden|das ist|dies ist|ich habe|ich werde)",
    "fr": r"(?:voici|voilà|ci-dessous|c['’]est|j['’]ai|je vais)",
    "es": r"(?:aquí (?:está|están|tienes|tiene|va|te|le)|a continuación|esta es|este es|he |voy a)",
    "it": r"(?:ecco|di seguito|questo è|questa è|ho )",
    "pt": r"(?:aqui (?:está|estão|vai|tem)|a seguir|segue|abaixo|esta é|este é|eu )",
    "nl": r"(?:hier (?:is|zijn|volgt|heb)|hieronder|dit is|ik heb|ik zal)",
    "ru": r"(?:вот|ниже|это|я )",
    "zh": r"(?:以下|下面|这是|這是|这里是|這裡是|我)",
    "ja": r"(?:以下|こちら|これが|下記|次)",
    "pl": r"(?:oto|poniżej|to jest|przygotował)",
    "sv": r"(?:här (?:är|kommer|följer|har)|nedan|detta är|jag har)",
}
# What was asked for, as the assistant names it.
_PRODUCTS = {
    "en": (
        r"re-?written|re-?write|re-?phras(?:ed|ing)|paraphras(?:ed?|ing)|revised|revision|re-?worded|simplified"
        r"|polished|cleaned[- ]up|improved|edited|condensed|translat(?:ed|ion)|(?:the |a |your |my |brief |short "
        r")(?:summary|version)|summari[sz]ed|version of (?:the|your|this)|based on the (?:text|passage|document"
        r"|provided|given|information)|(?:the|your) (?:text|passage|paragraph|document|article)|in the style of"
        r"|(?:requested|asked)"
    ),
    "de": (
        r"umgeschrieben|umformuliert|überarbeitet|neu ?(?:formuliert|fassung)|vereinfacht|zusammenfassung"
        r"|zusammengefasst|übersetz|paraphras|(?:der|den|des) (?:text|abschnitt|passage)|die fassung|version"
    ),
    "fr": (
        r"réécrit|réécriture|reformul|révisé|simplifi|paraphras|résumé|traduction|traduit|version|(?:le|du) (?:texte"
        r"|passage)"
    ),
    "es": (
        r"reescrit|reescritura|reformulad|revisad|simplificad|paráfrasis|parafrasead|resumen|traducción|traducid"
        r"|versión|(?:el|del) (?:texto|pasaje)"
    ),
    "it": (
        r"riscritt|riscrittura|riformulat|revisionat|rivist|semplificat|parafras|riassunto|traduzione|tradott"
        r"|versione|(?:il|del) (?:testo|brano|passaggio)"
    ),
    "pt": (
        r"reescrit|reescrita|reformulad|revisad|revist|simplificad|paráfrase|parafrasead|resumo|tradução|traduzid"
        r"|versão|(?:o|do) (?:texto|trecho)"
    ),
    "nl": (
        r"herschreven|herschrijving|geherformuleerd|herzien|vereenvoudigd|parafrase|geparafraseerd|samenvatting"
        r"|vertaling|vertaald|versie|(?:de|van de) (?:tekst|passage)"
    ),
    "ru": (
        r"перепис|переформулиров|переработан|отредактирован|упрощ[её]нн|перефраз|краткое изложение|резюме|перевод"
        r"|перевед[её]н|верси|вариант|(?:этого |ваш|данн)\w* ?(?:текст|отрыв)"
    ),
    "zh": (
        r"改写|改寫|重写|重寫|修改|润色|潤飾|简化|簡化|摘要|总结"
        r"|總結|翻译|翻譯|版本|译文|譯文|改编|根据|文本|段落|内容"
    ),
    "ja": r"書き(?:直し|換え|かえ)|言い換え|リライト|修正|改訂|簡略|要約|翻訳|訳|バージョン|文章|テキスト|本文",
    "pl": (
        r"przepisan|przeredagowan|przeformułowan|poprawion|uproszczon|parafraz|streszczenie|podsumowanie|tłumaczenie"
        r"|przetłumaczon|wersj|tekst"
    ),
    "sv": r"omskriv|omskrivning|omformuler|reviderad|förenklad|parafras|sammanfattning|översätt|version|texten",
}
# The name of the product alone, as a heading or before a colon.
_LABELS = (
    r"(?:(?:the )?(?:re-?written|re-?phrased|paraphrased|revised|re-?worded|simplified|translated|condensed|improved)"
    r" (?:text|passage|version|paragraph|document|article)|paraphrase|rewrite"
    r"|(?:umgeschriebener|überarbeiteter|umformulierter|übersetzter) (?:text|abschnitt)|überarbeitete (?:fassung"
    r"|version)"
    r"|(?:texte|passage) (?:réécrit|reformulé|révisé|traduit)e?|version (?:réécrite|reformulée|révisée)"
    r"|(?:texto|pasaje) (?:reescrito|reformulado|revisado|traducido)|versión (?:reescrita|reformulada|revisada)"
    r"|testo (?:riscritto|riformulato|rivisto|tradotto)|versione (?:riscritta|riformulata|rivista)"
    r"|(?:texto|trecho) (?:reescrito|reformulado|revisado|traduzido)|versão (?:reescrita|reformulada|revisada)"
    r"|(?:herschreven|herziene|vertaalde) (?:tekst|versie|passage)"
    r"|(?:переписанный|переработанный|отредактированный|переведённый|переведенный) (?:текст|вариант|отрывок)"
    r"|(?:改写|改寫|重写|重寫|修改|润色|翻译|翻譯)(?:后|後|后的|後的)?(?:文本|版本|内容|內容|段落|文字)"
    r"|(?:書き直し|書き換え|リライト|言い換え|翻訳)(?:た|後の|された)?(?:文章|テキスト|文|版)"
    r"|(?:przepisany|przeredagowany|poprawiony|przetłumaczony) tekst|(?:omskriven|reviderad|översatt) (?:text"
    r"|version))"
)
# What assistants say when they are done, at the very end.
_CLOSINGS = {
    "en": (
        r"(?:i |i['’]d |we )?hope (?:this|that|it)(?: \w+){0,3} (?:helps?|is helpful|meets|works)|(?:please )?let me "
        r"know (?:if|whether|what|how)|(?:please )?(?:feel free|don['’]t hesitate|do not hesitate) to (?:ask|reach"
        r"|let me|contact me|share)|(?:would|do) you (?:like|want) me to|is there anything else|if you (?:have any"
        r"|need any|would like|need|want)[^\n.]{0,60}(?:let me know|feel free|just ask|please (?:ask|tell))|i(?:['’]m"
        r"| am) happy to (?:help|adjust|make)"
        r"|\(?note:? (?:that )?(?:i|the|this|all)[^\n]{0,40}(?:rewr|re-wr|rephras|paraphras|preserv|kept|maintain"
        r"|original (?:text|passage|meaning)|translat)|i(?:['’]ve| have) (?:tried|aimed|kept|preserved|maintained"
        r"|ensured|rewritten|rephrased|made sure)|(?:this|the) (?:rewritten|rephrased|paraphrased|revised) (?:version"
        r"|text|passage) (?:maintains|preserves|keeps|retains|conveys|captures)"
    ),
    "de": (
        r"ich hoffe,? (?:das|dies|dass|es)[^\n.]{0,40}(?:hilft|hilfreich|weiter)|(?:bitte )?(?:lass|lassen sie) (?:es "
        r")?mich (?:es )?wissen|(?:sag|sagen sie) (?:mir )?(?:gerne? )?bescheid|(?:zögern sie nicht|zögere nicht)"
        r"|falls (?:sie|du) (?:weitere|noch) fragen|(?:möchten sie|möchtest du|soll ich)|ich habe (?:den text|die "
        r"passage|den abschnitt)"
    ),
    "fr": (
        r"j['’]espère que (?:cela|ça|ceci|cette|ce)[^\n.]{0,60}(?:aide|utile|convient|attentes)|n['’]hésite[zs]? pas "
        r"à|faites-(?:le-)?moi savoir|dites-moi si|si vous avez (?:d['’]autres|des) questions|(?:souhaitez"
        r"|voulez)-vous que je|j['’]ai (?:conservé|veillé|réécrit|reformulé|essayé)"
    ),
    "es": (
        r"espero que (?:esto|te|le|les|sea|esta)[^\n.]{0,40}(?:ayud|útil|sirva)|(?:no dudes|no dude) en|(?:avísame"
        r"|házmelo saber|hágamelo saber|dime) si|si (?:tienes|tiene|necesitas|necesita) (?:más|alguna|algo)|¿(?:te "
        r"gustaría|quieres|desea|deseas|quiere) que|he (?:mantenido|conservado|reescrito|procurado)"
    ),
    "it": (
        r"spero che (?:questo|questa|ti|le|sia|ciò)[^\n.]{0,40}(?:aiut|utile|d['’]aiuto)|non esitare a|fammi sapere"
        r"|mi faccia sapere|se hai (?:altre|bisogno|domande)|(?:vuoi|vorresti|desidera) che|ho (?:mantenuto"
        r"|conservato|riscritto|cercato)"
    ),
    "pt": (
        r"espero que (?:isso|isto|tenha|ajude|seja|esta)[^\n.]{0,40}(?:ajud|útil)?|(?:não hesite|sinta-se à vontade)"
        r"|(?:me avise|avise-me|me diga|diga-me) se|se (?:tiver|precisar|você)[^\n.]{0,40}(?:dúvidas?|perguntas?"
        r"|ajuda)|(?:gostaria|quer|deseja) que eu|(?:eu )?(?:mantive|reescrevi|procurei)"
    ),
    "nl": (
        r"(?:ik )?hoop(?:elijk)?(?: dat)? (?:dit|het|dat)[^\n.]{0,40}(?:helpt|nuttig|behulpzaam)|laat (?:het )?me "
        r"(?:het )?weten|aarzel niet|als (?:je|u) (?:nog )?(?:meer |andere |verdere )?vragen|(?:wil je|wilt u|zal ik) "
        r"(?:dat ik)?|ik heb (?:de tekst|geprobeerd|ervoor)"
    ),
    "ru": (
        r"надеюсь,? (?:это|что|эт)[^\n.]{0,40}(?:помо|полез|устро)|(?:дайте|дай) (?:мне )?знать|(?:не стесняйтесь"
        r"|обращайтесь)|если (?:у вас|вам|у тебя)[^\n.]{0,40}(?:вопрос|нуж|понадоб)|(?:хотите|нужно "
        r"ли)[^\n.]{0,20}(?:чтобы )?я|я (?:сохранил|постарал|переписал)"
    ),
    "zh": (
        r"希望(?:这|這|以上|对|對|能)[^\n。]{0,30}(?:帮助|幫助|有用|满意|要求)|如果(?:您|你)?(?:还|還)?(?:有|需要)[^\n。]{0,30}(?:告诉我|告訴我|请|請|随时"
        r"|隨時)|请(?:随时)?告诉我|請(?:隨時)?告訴我|需要我(?:帮|再|进一步)"
    ),
    "ja": (
        r"(?:お役に立て|参考にな)(?:れば|ば|りましたら|ることを)[^\n。]{0,20}|(?:他に|ほかに|何か)?ご(?:質問|不明|要望)[^\n。]{0,40}(?:ください|下さい|お知らせ|お気軽)"
        r"|お気軽にお(?:知らせ|尋ね|申し付け|問い合わせ)"
    ),
    "pl": (
        r"mam nadzieję,? że (?:to|ta|pomog)[^\n.]{0,30}|daj(?:cie)? (?:mi )?znać|(?:proszę )?nie wahaj się (?:pytać"
        r"|zapytać|dać)|śmiało pytaj|jeśli (?:masz|potrzebujesz|chcesz)[^\n.]{0,40}(?:pytania|zmian|pomocy)|czy "
        r"chcesz, (?:żebym|abym)"
    ),
    "sv": (
        r"(?:jag )?hoppas (?:att )?(?:det|detta|den)[^\n.]{0,30}(?:hjälp|till hjälp)|(?:säg till|hör av dig|låt mig "
        r"veta)|tveka inte|om du (?:har|behöver|vill)[^\n.]{0,40}(?:frågor|hjälp|ändr)|vill du att jag"
    ),
}

_MARKS = r"[\s¡¿*_#>\"“”„«'()\[\]-]*"
_REST = r"[^\n]{0,200}"


def _any(table: dict[str, str]) -> str:
    return "|".join(table.values())


def _introductions() -> str:
    """One expression for what may stand before an answer."""
    by_language = [
        rf"(?:(?:{_ASSENTS[language]})[\s,.!:;，。、！：—–-]+)(?:{_PRESENTS[language]})"
        rf"(?:{_REST}?[:：]|{_REST}?(?:{_PRODUCTS[language]}){_REST}?(?:\n|$))"
        rf"|(?:{_PRESENTS[language]})[^\n:：]{{0,90}}?(?:{_PRODUCTS[language]})[^\n:：]{{0,90}}[:：][*_ \t]*\n"
        rf"|(?:{_ASSENTS[language]})[,.!！。]+[*_ \t]*\n"
        for language in _ASSENTS
    ]
    labels = rf"{_LABELS}(?:[*_ \t]*[:：]|[*_ \t]*\n)"
    return rf"(?i)^{_MARKS}(?:{'|'.join(by_language)}|{labels})"


REFUSAL = rf"(?i)^{_MARKS}(?:{_any(_REFUSALS)})"
INTRODUCTION = _introductions()
CLOSING = rf"(?i)^{_MARKS}(?:{_any(_CLOSINGS)})"
SENTENCE = r"[^\n.!?。！？]+[.!?。！？]*"
LAST_SENTENCES = 3


def refusals(texts: pl.Series, passages: pl.Series | None = None) -> pl.Series:
    """What of each text's beginning refuses to do what was asked; null where nothing does, or the passage begins so."""
    return _own(_refused(texts), None if passages is None else _refused(passages))


def prefaces(texts: pl.Series, passages: pl.Series | None = None) -> pl.Series:
    """What each text says before or after what was asked for; null where it says nothing, or the passage says so."""
    before = _own(_introduced(texts), None if passages is None else _introduced(passages))
    after = _own(_closed(texts), None if passages is None else _closed(passages))
    return pl.select(pl.coalesce(before, after)).to_series()


def _own(found: pl.Series, of_passages: pl.Series | None) -> pl.Series:
    """What was found, shortened, where nothing was found in the passage."""
    evidence = pl.when(found.is_not_null() if of_passages is None else found.is_not_null() & of_passages.is_null())
    return pl.select(evidence.then(found.str.strip_chars(" \n\r\t*_#").str.slice(0, _EVIDENCE_CHARS))).to_series()


def _refused(texts: pl.Series) -> pl.Series:
    return _extracted(texts.str.slice(0, READ_CHARS).str.strip_chars_start(), REFUSAL)


def _introduced(texts: pl.Series) -> pl.Series:
    return _extracted(texts.str.slice(0, READ_CHARS).str.strip_chars_start(), INTRODUCTION)


def _closed(texts: pl.Series) -> pl.Series:
    """The closing among the last sentences of the last line."""
    tails = texts.str.tail(READ_CHARS).str.strip_chars_end().str.split("\n").list.last()
    last = tails.str.extract_all(SENTENCE).list.tail(LAST_SENTENCES)
    sentences = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "sentence": last}).explode("sentence")
    closings = sentences.filter(pl.col("sentence").str.contains(CLOSING)).group_by("row", maintain_order=True).first()
    found = pl.Series([None] * len(texts), dtype=pl.String)
    return found.scatter(closings["row"], closings["sentence"]) if closings.height else found


def _extracted(parts: pl.Series, form: str) -> pl.Series:
    """What `form` matches in each part; null where it matches nothing."""
    found = pl.Series([None] * len(parts), dtype=pl.String)
    hits = parts.str.contains(form).arg_true()
    # Few match: only these are read for what it is that matches.
    return found.scatter(hits, parts.gather(hits).str.extract(f"({form})", 1)) if len(hits) else found
