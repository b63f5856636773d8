"""Where the customers live: countries with their currency, tax, names, streets and towns.

Belongs here: data about countries, and the pools of texts made from it. Does not belong here: who lives
where (``people``). The names are common names of each country, in their own spelling.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

CURRENCIES = ("USD", "EUR", "GBP", "BRL", "CAD", "CHF", "SEK", "PLN")
UNITS_PER_DOLLAR = (1.0, 0.92, 0.79, 5.4, 1.37, 0.89, 10.6, 4.0)

REGIONS = ("americas", "britain", "continent")


@dataclass(frozen=True)
class Country:
    """What the simulation needs to know of a country; towns are ``name|postal pattern|state``.

    In a postal pattern ``#`` stands for a digit and ``@`` for a letter.
    """

    code: str
    locale: str
    weight: float
    currency: str
    tax_percent: int
    region: str
    dial: str
    is_number_first: bool
    methods: tuple[tuple[str, float], ...]
    domains: tuple[str, ...]
    first_names: str
    last_names: str
    streets: str
    towns: str


_CARD = (("card", 0.62), ("paypal", 0.3), ("gift_card", 0.08))
_WORLD_MAIL = ("gmail.example", "outlook.example", "yahoo.example", "icloud.example")

COUNTRIES = (
    Country(
        "US", "en_US", 30, "USD", 7, "americas", "+1", True, _CARD, _WORLD_MAIL,
        "James Mary Robert Patricia John Jennifer Michael Linda William Elizabeth David Barbara Richard Susan "
        "Joseph Jessica Thomas Sarah Christopher Karen Daniel Nancy Matthew Lisa José Zoë Anthony Margaret",
        "Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez "
        "Wilson Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Nuñez O'Brien Peña",
        "Main Street;Oak Avenue;Maple Drive;Cedar Lane;Washington Boulevard;Park Avenue;Elm Street;Lake Road;"
        "Hill Street;Sunset Drive;Pine Court;River Road",
        "New York|100##|NY;Los Angeles|900##|CA;Chicago|606##|IL;Houston|770##|TX;Phoenix|850##|AZ;"
        "Philadelphia|191##|PA;San José|951##|CA;Seattle|981##|WA;Denver|802##|CO;Boston|021##|MA;"
        "Portland|972##|OR;Atlanta|303##|GA",
    ),
    Country(
        "GB", "en_GB", 14, "GBP", 20, "britain", "+44", True, _CARD, (*_WORLD_MAIL, "btmail.example"),
        "Oliver Amelia George Isla Harry Ava Noah Mia Jack Grace Charlie Sophie Oscar Emily William Freya "
        "Alexander Charlotte Siân Zoë Edward Victoria Samuel Katherine Benjamin Chloë",
        "Smith Jones Taylor Brown Williams Wilson Johnson Davies Patel Wright Walker Thompson White Edwards "
        "Hughes Green Hall Wood Harris Clarke O'Neill Fraser MacDonald Begum Khan Brontë",
        "High Street;Station Road;Church Lane;Victoria Road;Green Lane;Manor Road;Kings Road;Queen Street;"
        "Mill Lane;The Crescent;Park Road;Albert Terrace",
        "London|SW# #@@|;Manchester|M## #@@|;Birmingham|B# #@@|;Leeds|LS# #@@|;Glasgow|G## #@@|;"
        "Bristol|BS# #@@|;Edinburgh|EH# #@@|;Cardiff|CF## #@@|;Liverpool|L# #@@|;Belfast|BT# #@@|",
    ),
    Country(
        "DE", "de_DE", 14, "EUR", 19, "continent", "+49", False,
        (("invoice", 0.3), ("paypal", 0.36), ("card", 0.24), ("bank_transfer", 0.1)),
        ("gmx.example", "web.example", "t-online.example", "gmail.example"),
        "Ben Emma Paul Mia Leon Hannah Finn Sofia Elias Anna Jonas Lea Luis Lena Jörg Käthe Björn Jürgen "
        "Günther Renate Thomas Sabine Andreas Petra Ursula Wolfgang Sönke Anneliese",
        "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter "
        "Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hartmann Weiß Groß Böhm Köhler",
        "Lindenstraße;Hauptstraße;Bahnhofstraße;Goethestraße;Schillerstraße;Gartenweg;Am Mühlbach;Kirchgasse;"
        "Bergstraße;Königsallee;Rosenweg;Dorfstraße",
        "Berlin|10###|;Hamburg|20###|;München|80###|;Köln|50###|;Frankfurt am Main|60###|;Stuttgart|70###|;"
        "Düsseldorf|40###|;Leipzig|04###|;Nürnberg|90###|;Münster|48###|;Lübeck|23###|;Würzburg|97###|",
    ),
    Country(
        "FR", "fr_FR", 10, "EUR", 20, "continent", "+33", True,
        (("card", 0.74), ("paypal", 0.22), ("gift_card", 0.04)),
        ("orange.example", "free.example", "laposte.example", "gmail.example"),
        "Gabriel Louise Léo Jade Raphaël Emma Arthur Alice Jules Chloé Hugo Léa Théo Inès Maël Zoé François "
        "Hélène Jérôme Céline Benoît Aurélie Loïc Noémie Éric Françoise",
        "Martin Bernard Thomas Petit Robert Richard Durand Dubois Moreau Laurent Simon Michel Lefèvre Leroy "
        "Roux Bénard Lemaître Fournier Girard Mercier Dupont François Gérard Béranger Noël Hérault",
        "rue de la Paix;avenue Victor Hugo;boulevard Voltaire;rue du Général de Gaulle;place de l'Église;"
        "rue des Écoles;allée des Peupliers;rue Molière;chemin du Château;rue Pasteur",
        "Paris|750##|;Lyon|690##|;Marseille|130##|;Toulouse|310##|;Nice|060##|;Nantes|440##|;Orléans|450##|;"
        "Saint-Étienne|420##|;Nîmes|300##|;Besançon|250##|",
    ),
    Country(
        "BR", "pt_BR", 8, "BRL", 17, "americas", "+55", False,
        (("pix", 0.46), ("card", 0.46), ("bank_transfer", 0.08)),
        ("uol.example", "bol.example", "gmail.example", "hotmail.example"),
        "Miguel Helena Arthur Alice Davi Laura João Maria José Ana Gabriel Beatriz Antônio Júlia Luís Lívia "
        "César Cecília Vinícius Letícia André Mônica Tomás Inês Cauã Conceição",
        "Silva Santos Oliveira Souza Rodrigues Ferreira Alves Pereira Lima Gomes Ribeiro Carvalho Araújo "
        "Gonçalves Magalhães Simões Brandão Leitão Galvão Conceição Assunção Mendonça Falcão Queirós",
        "Rua das Flores;Avenida Paulista;Rua São João;Avenida Brasil;Rua da Consolação;Travessa do Comércio;"
        "Rua Santo Antônio;Alameda dos Ipês;Rua Sete de Setembro;Praça da República",
        "São Paulo|01###-###|SP;Rio de Janeiro|20###-###|RJ;Brasília|70###-###|DF;Salvador|40###-###|BA;"
        "Florianópolis|88###-###|SC;Belém|66###-###|PA;Curitiba|80###-###|PR;Goiânia|74###-###|GO;"
        "Niterói|24###-###|RJ;Vitória|29###-###|ES",
    ),
    Country(
        "ES", "es_ES", 5, "EUR", 21, "continent", "+34", False, _CARD, ("gmail.example", "telefonica.example"),
        "Hugo Lucía Mateo Sofía Martín María Leo Julia Daniel Paula José Inés Álvaro Noelia Íñigo Begoña "
        "Adrián Concepción Sergio Mónica Rubén Rocío",
        "García Rodríguez González Fernández López Martínez Sánchez Pérez Gómez Martín Jiménez Ruiz Hernández "
        "Díaz Moreno Muñoz Álvarez Romero Núñez Ibáñez Peña Yáñez",
        "Calle Mayor;Calle de Alcalá;Avenida de la Constitución;Plaza de España;Calle del Sol;Paseo Marítimo;"
        "Calle Núñez de Balboa;Calle San José",
        "Madrid|280##|;Barcelona|080##|;Valencia|460##|;Sevilla|410##|;Málaga|290##|;A Coruña|150##|;"
        "Cádiz|110##|;Logroño|260##|",
    ),
    Country(
        "IT", "it_IT", 5, "EUR", 22, "continent", "+39", False, _CARD, ("libero.example", "virgilio.example"),
        "Leonardo Sofia Francesco Giulia Alessandro Aurora Lorenzo Alice Mattia Ginevra Nicolò Chiara Andrea "
        "Martina Giosuè Noemi Riccardo Elisa Mosè Zoe",
        "Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti De Luca "
        "Costa Giordano Mancini Rizzo Lombardi D'Angelo Nicolò Colò".replace("De Luca", "Deluca"),
        "Via Roma;Via Garibaldi;Corso Italia;Via Dante;Piazza della Libertà;Via Verdi;Via XX Settembre;"
        "Via dell'Università",
        "Roma|001##|RM;Milano|201##|MI;Napoli|801##|NA;Torino|101##|TO;Bologna|401##|BO;Firenze|501##|FI;"
        "Forlì|471##|FC;Cefalù|900##|PA",
    ),
    Country(
        "NL", "nl_NL", 4, "EUR", 21, "continent", "+31", False, _CARD, ("ziggo.example", "kpnmail.example"),
        "Noah Emma Sem Julia Liam Mila Lucas Tess Daan Sophie Finn Zoë Levi Saar Bram Noëlle Thijs Fleur "
        "Joël Chloë Jeroen Renée",
        "Jansen Bakker Visser Smit Meijer Mulder Bos Vos Peters Hendriks Dekker Brouwer Dijkstra Koster "
        "Willems Hoekstra Geërts Kuipers Postma Scholten",
        "Dorpsstraat;Kerkstraat;Molenweg;Stationsweg;Prinsengracht;Beatrixlaan;Schoolstraat;Eikenlaan",
        "Amsterdam|10## @@|;Rotterdam|30## @@|;Utrecht|35## @@|;Eindhoven|56## @@|;Groningen|97## @@|;"
        "Maastricht|62## @@|;Leiden|23## @@|",
    ),
    Country(
        "PL", "pl_PL", 3, "PLN", 23, "continent", "+48", False,
        (("bank_transfer", 0.3), ("card", 0.5), ("paypal", 0.2)),
        ("wp.example", "onet.example", "interia.example"),
        "Antoni Zuzanna Jakub Julia Jan Maja Szymon Zofia Franciszek Hanna Michał Małgorzata Łukasz Agnieszka "
        "Paweł Bożena Stanisław Elżbieta Rafał Grażyna",
        "Nowak Kowalski Wiśniewski Wójcik Kowalczyk Kamiński Lewandowski Zieliński Szymański Woźniak Dąbrowski "
        "Kozłowski Jankowski Mazur Król Wróbel Wieczorek Pawłowski Jabłoński Łuczak",
        "ul. Długa;ul. Kwiatowa;ul. Leśna;ul. Słoneczna;ul. Szkolna;al. Jerozolimskie;ul. Świętokrzyska;"
        "ul. Piękna",
        "Warszawa|00-###|;Kraków|30-###|;Łódź|90-###|;Wrocław|50-###|;Poznań|60-###|;Gdańsk|80-###|;Rzeszów|35-###|",
    ),
    Country(
        "SE", "sv_SE", 3, "SEK", 25, "continent", "+46", False,
        (("invoice", 0.4), ("card", 0.45), ("paypal", 0.15)),
        ("telia.example", "hotmail.example"),
        "Lucas Alice Liam Maja Hugo Elsa Björn Astrid Göran Märta Åke Åsa Sören Källa Nils Ebba Mårten Anneli "
        "Håkan Kerstin",
        "Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson Gustafsson Lindström "
        "Sjöberg Åkesson Öberg Bäckström Nyström Håkansson Bergström Söderberg Löfgren",
        "Storgatan;Kungsgatan;Björkvägen;Skolgatan;Ängsvägen;Drottninggatan;Östra Långgatan;Sjövägen",
        "Stockholm|11# ##|;Göteborg|41# ##|;Malmö|21# ##|;Uppsala|75# ##|;Västerås|72# ##|;Örebro|70# ##|;Umeå|90# ##|",
    ),
    Country(
        "CA", "en_CA", 3, "CAD", 13, "americas", "+1", True, _CARD, ("gmail.example", "bellnet.example"),
        "Liam Olivia Noah Emma Étienne Chloé William Charlotte Benoît Amélie Logan Sophie Lucas Mélanie Nathan "
        "Zoé Félix Geneviève Owen Abigail",
        "Smith Tremblay Brown Roy Martin Gagnon Wilson Côté Bouchard MacDonald Gauthier Bélanger Campbell "
        "Lavoie Fortin Pelletier Lévesque Nguyen Singh Wong",
        "Queen Street;King Street;rue Sainte-Catherine;Maple Road;chemin de la Côte-des-Neiges;Yonge Street;"
        "Lakeshore Drive;rue Saint-Denis",
        "Toronto|M#@ #@#|ON;Montréal|H#@ #@#|QC;Vancouver|V#@ #@#|BC;Calgary|T#@ #@#|AB;Québec|G#@ #@#|QC;"
        "Ottawa|K#@ #@#|ON;Trois-Rivières|G#@ #@#|QC",
    ),
    Country(
        "CH", "de_CH", 1, "CHF", 8, "continent", "+41", False,
        (("invoice", 0.45), ("card", 0.45), ("paypal", 0.1)),
        ("bluewin.example", "gmx.example"),
        "Noah Mia Liam Emma Luca Elena Urs Ursina Beat Brigitte Jürg Käthi André Michèle Reto Zoé Matthias Léonie",
        "Müller Meier Schmid Keller Weber Huber Schneider Meyer Steiner Fischer Gerber Brunner Baumann Frei "
        "Zürcher Bühler Favre Rochat Bösch Lüthi",
        "Bahnhofstrasse;Seestrasse;Dorfstrasse;Rue du Rhône;Kirchweg;Hofwiesenstrasse;Chemin des Crêts;Mühleweg",
        "Zürich|80##|ZH;Genève|12##|GE;Basel|40##|BS;Bern|30##|BE;Neuchâtel|20##|NE;Chur|70##|GR;Délémont|28##|JU",
    ),
)  # fmt: skip

NICKNAMES = {
    "Robert": "Bob", "William": "Bill", "Elizabeth": "Liz", "Richard": "Dick", "Michael": "Mike",
    "James": "Jim", "Thomas": "Tom", "Margaret": "Peggy", "Jennifer": "Jen", "Patricia": "Pat",
    "Christopher": "Chris", "Joseph": "Joe", "Daniel": "Dan", "Matthew": "Matt", "Alexander": "Alex",
    "Katherine": "Kate", "Edward": "Ted", "Samuel": "Sam", "Benjamin": "Ben", "Victoria": "Vicky",
    "Susan": "Sue", "David": "Dave", "Barbara": "Barb", "Anthony": "Tony", "Jürgen": "Jogi",
    "Wolfgang": "Wolfi", "Andreas": "Andi", "Sabine": "Bine", "Antônio": "Toninho", "José": "Zé",
    "Francesco": "Franco", "Alessandro": "Sandro", "Małgorzata": "Gosia", "Elżbieta": "Ela",
    "Stanisław": "Staszek", "François": "Fanfan", "Concepción": "Concha", "Geneviève": "Gen",
}  # fmt: skip

_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_PLAIN = str.maketrans({"ł": "l", "Ł": "L", "ø": "o", "æ": "ae", "ß": "ss"})
_PUNCTUATION = str.maketrans({"'": "", " ": "", "-": "", ".": ""})


def without_accents(text: str) -> str:
    """The text as an old system without accents keeps it (``Müller`` becomes ``Muller``)."""
    plain = unicodedata.normalize("NFD", text.translate(_PLAIN))
    return "".join(c for c in plain if not unicodedata.combining(c))


def address_part(text: str, locale: str) -> str:
    """The text as it stands in an e-mail address: lower case, no accents, no punctuation."""
    spelled = text.translate(_GERMAN) if locale.startswith("de") else text
    return without_accents(spelled.translate(_PUNCTUATION)).lower()
