"""Translation by the scripted model, word by word: little words by a lexicon, endings of the others by rules.

It is no translation, but it has the little words and endings of its language, so that language identification takes it
for a text of that language, and it keeps numbers, names and structure.
"""

from __future__ import annotations

import functools
import re

_WORDS = {
    "de": """the=die a=eine an=eine and=und or=oder but=aber of=von to=zu in=in on=auf at=bei for=für with=mit from=aus
        by=durch is=ist are=sind was=war were=waren be=sein been=gewesen has=hat have=haben had=hatte
        not=nicht no=kein it=es its=seine he=er she=sie they=sie we=wir you=Sie i=ich his=sein her=ihr
        their=ihre our=unsere your=Ihre this=diese that=dass these=diese those=jene which=welche who=wer
        what=was when=wenn where=wo why=warum how=wie as=als if=wenn than=als then=dann there=dort here=hier
        can=kann could=könnte will=wird would=würde should=sollte may=darf must=muss do=tun does=tut did=tat
        all=alle some=einige many=viele most=die=meisten more=mehr other=andere only=nur also=auch very=sehr
        so=so about=über after=nach before=vor between=zwischen into=in over=über under=unter through=durch
        during=während without=ohne because=weil while=während until=bis since=seit new=neue old=alte
        good=gute great=große small=kleine large=große long=lange first=erste last=letzte one=ein two=zwei
        three=drei four=vier five=fünf year=Jahr years=Jahre day=Tag days=Tage time=Zeit people=Menschen
        man=Mann woman=Frau child=Kind water=Wasser city=Stadt house=Haus world=Welt work=Arbeit life=Leben
        way=Weg make=machen made=gemacht use=verwenden used=verwendet see=sehen know=wissen take=nehmen
        come=kommen go=gehen get=bekommen give=geben find=finden say=sagen said=sagte them=ihnen him=ihm
        us=uns up=auf out=aus now=jetzt well=gut even=sogar each=jede every=jede any=jede such=solche
        both=beide own=eigene""",
    "fr": """the=le a=une an=une and=et or=ou but=mais of=de to=à in=dans on=sur at=à for=pour with=avec from=depuis
        by=par is=est are=sont was=était were=étaient be=être been=été has=a have=ont had=avait not=pas no=aucun
        it=il its=son he=il she=elle they=ils we=nous you=vous i=je his=son her=sa their=leurs our=notre
        your=votre this=cette that=que these=ces those=ceux which=qui who=qui what=quoi when=quand where=où
        why=pourquoi how=comment as=comme if=si than=que then=alors there=là here=ici can=peut could=pourrait
        will=va would=serait should=devrait may=peut must=doit do=faire does=fait did=faisait all=tous
        some=quelques many=beaucoup most=plupart more=plus other=autre only=seulement also=aussi very=très
        so=ainsi about=environ after=après before=avant between=entre into=dans over=sur under=sous
        through=à=travers during=pendant without=sans because=parce=que while=tandis=que until=jusque
        since=depuis new=nouvelle old=ancienne good=bonne great=grande small=petite large=grande long=longue
        first=première last=dernière one=un two=deux three=trois four=quatre five=cinq year=année years=années
        day=jour days=jours time=temps people=gens man=homme woman=femme child=enfant water=eau city=ville
        house=maison world=monde work=travail life=vie way=chemin make=faire made=fait use=utiliser
        used=utilisé see=voir know=savoir take=prendre come=venir go=aller get=obtenir give=donner
        find=trouver say=dire said=disait them=eux him=lui us=nous up=haut out=dehors now=maintenant well=bien
        even=même each=chaque every=chaque any=tout such=tel both=deux own=propre""",
    "es": """the=el a=una an=una and=y or=o but=pero of=de to=a in=en on=sobre at=en for=para with=con from=desde by=por
        is=es are=son was=era were=eran be=ser been=sido has=ha have=han had=había not=no no=ningún it=lo
        its=su he=él she=ella they=ellos we=nosotros you=usted i=yo his=su her=su their=sus our=nuestro
        your=su this=este that=que these=estos those=esos which=que who=quien what=qué when=cuando where=donde
        why=por=qué how=cómo as=como if=si than=que then=entonces there=allí here=aquí can=puede could=podría
        will=va would=sería should=debería may=puede must=debe do=hacer does=hace did=hizo all=todos
        some=algunos many=muchos most=mayoría more=más other=otro only=solamente also=también very=muy so=así
        about=sobre after=después before=antes between=entre into=en over=sobre under=bajo through=a=través
        during=durante without=sin because=porque while=mientras until=hasta since=desde new=nueva old=antigua
        good=buena great=gran small=pequeña large=grande long=larga first=primera last=última one=uno two=dos
        three=tres four=cuatro five=cinco year=año years=años day=día days=días time=tiempo people=gente
        man=hombre woman=mujer child=niño water=agua city=ciudad house=casa world=mundo work=trabajo life=vida
        way=camino make=hacer made=hecho use=usar used=usado see=ver know=saber take=tomar come=venir go=ir
        get=obtener give=dar find=encontrar say=decir said=dijo them=ellos him=él us=nosotros up=arriba
        out=fuera now=ahora well=bien even=incluso each=cada every=cada any=cualquier such=tal both=ambos
        own=propio""",
}
_ENDINGS = {
    "de": """ations=ationen ation=ation ities=itäten ity=ität ness=heit ment=ung ingly=end ing=end ally=lich ly=lich
        ical=isch ic=isch ous=ös able=bar ible=bar ful=voll less=los ists=isten ist=ist ers=er er=er ies=ien
        ied=iert ed=t es=en s=en al=al ive=iv y=ie e=en""",
    "fr": """ations=ations ation=ation ities=ités ity=ité ness=esse ment=ement ingly=amment ing=ant ally=alement
        ly=ement ical=ique ic=ique ous=eux able=able ible=ible ful=eux less=é ists=istes ist=iste ers=eurs er=eur
        ies=ies ied=ié ed=é es=es s=s al=el ive=if y=ie e=e""",
    "es": """ations=aciones ation=ación ities=idades ity=idad ness=eza ment=miento ingly=ando ing=ando ally=almente
        ly=mente ical=ico ic=ico ous=oso able=able ible=ible ful=oso less=ado ists=istas ist=ista ers=ores
        er=or ies=ías ied=iado ed=ado es=es s=os al=al ive=ivo y=ía e=a""",
}
_OTHERWISE = {"de": "e", "fr": "e", "es": "o"}
_LANGUAGES = {"german": "de", "deutsch": "de", "french": "fr", "français": "fr", "spanish": "es", "español": "es"}
_TARGET = re.compile(r"\b(?:" + "|".join(_LANGUAGES) + r")\b", re.IGNORECASE)
_TOKEN = re.compile(r"https?://\S+|[\w.+-]+@[\w.-]+|`[^`\n]*`|[A-Za-z][A-Za-z’']*")
_FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def target_of(instructions: str) -> str | None:
    """The language that the instructions ask for; None where they name none that is known here."""
    found = _TARGET.search(instructions)
    return _LANGUAGES[found[0].lower()] if found else None


def translate(text: str, target: str) -> str:
    """An English text word by word; code, addresses, numbers, capitals inside sentences and structure stay."""
    parts = _FENCED.split(text)
    return "".join(part if place % 2 else _translated(part, target) for place, part in enumerate(parts)).strip()


def _translated(text: str, target: str) -> str:
    def other(found: re.Match[str]) -> str:
        word, start = found[0], found.start()
        if not word[0].isalpha() or not word.isascii() or ":" in word or "@" in word:
            return word
        is_name = word[0].isupper() and start > 1 and text[start - 1] == " " and text[start - 2] not in ".!?:\n"
        if is_name and word.lower() not in _lexicon(target):
            return word
        said = _word(word.lower(), target)
        return said[:1].upper() + said[1:] if word[0].isupper() else said

    return _TOKEN.sub(other, text)


@functools.lru_cache(maxsize=100_000)
def _word(word: str, target: str) -> str:
    known = _lexicon(target).get(word)
    if known is not None:
        return known
    if len(word) > 3:
        for ending, other in _endings(target):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                return word.removesuffix(ending) + other
    return word + _OTHERWISE[target] if len(word) > 2 and word[-1] not in "aeiou" else word


@functools.cache
def _lexicon(target: str) -> dict[str, str]:
    entries = (entry.partition("=") for entry in _WORDS[target].split())
    return {word: said.replace("=", " ") for word, _, said in entries}


@functools.cache
def _endings(target: str) -> list[tuple[str, str]]:
    entries = (entry.partition("=") for entry in _ENDINGS[target].split())
    return [(ending, other) for ending, _, other in entries]
