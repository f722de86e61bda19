BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE blocks (
	scope TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	until DATETIME, 
	reason TEXT NOT NULL, 
	blocked_by TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT blocks_key PRIMARY KEY (scope, kind, subject)
);
CREATE TABLE channels (
	channel TEXT NOT NULL, 
	awake JSON, 
	place TEXT NOT NULL, 
	settings JSON NOT NULL, 
	last_seen TEXT, 
	CONSTRAINT channels_key PRIMARY KEY (channel)
);
INSERT INTO "channels" VALUES('web:lobby','["house/mara-quill"]','A harbour.','{}',NULL);
CREATE TABLE character_revisions (
	character_id INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	card JSON NOT NULL, 
	lines JSON NOT NULL, 
	changed_by TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT character_revisions_key PRIMARY KEY (character_id, revision), 
	CONSTRAINT character_revisions_character_id_is_in_characters FOREIGN KEY(character_id) REFERENCES characters (id) ON DELETE CASCADE
);
INSERT INTO "character_revisions" VALUES(1,1,'Zoë','{"data": {"name": "Zoë"}}','[{"id": "z-1", "reply": "Hm."}]','discord:5','2026-01-01 12:00:13.000000');
CREATE TABLE characters (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	scope TEXT NOT NULL, 
	slug TEXT NOT NULL, 
	name TEXT NOT NULL, 
	card JSON NOT NULL, 
	lines JSON NOT NULL, 
	portrait BLOB, 
	creator TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	CONSTRAINT characters_one_scope_slug UNIQUE (scope, slug)
);
INSERT INTO "characters" VALUES(1,'discord:1','zoe','Zoë','{"data": {"name": "Zoë"}}','[{"id": "z-1", "reply": "Hm."}]',X'89504E47','discord:5',1,'2026-01-01 12:00:13.000000','2026-01-01 12:00:13.000000',NULL);
CREATE TABLE consents (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	person_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	granted BOOLEAN NOT NULL, 
	at DATETIME NOT NULL, 
	channel TEXT, 
	wording TEXT NOT NULL, 
	CONSTRAINT consents_person_id_is_in_people FOREIGN KEY(person_id) REFERENCES people (id) ON DELETE CASCADE
);
INSERT INTO "consents" VALUES(1,'web:ada','train',1,'2026-01-01 12:00:11.000000','web:lobby','train-1');
INSERT INTO "consents" VALUES(2,'web:ada','train',0,'2026-01-01 12:00:12.000000','web:lobby','train-1');
CREATE TABLE facts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	channel TEXT, 
	person_id TEXT NOT NULL, 
	character_id TEXT NOT NULL, 
	text TEXT NOT NULL, 
	pinned BOOLEAN NOT NULL, 
	source_turn_id INTEGER, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT facts_source_turn_id_is_in_turns FOREIGN KEY(source_turn_id) REFERENCES turns (id) ON DELETE SET NULL
);
INSERT INTO "facts" VALUES(1,'web:lobby','web:ada','house/mara-quill','likes the sea',0,1,'2026-01-01 12:00:14.000000','2026-01-01 12:00:14.000000');
CREATE TABLE likenesses (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	person_id TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	name TEXT NOT NULL, 
	slug TEXT, 
	asked_by TEXT NOT NULL, 
	asked_at DATETIME NOT NULL, 
	state TEXT NOT NULL, 
	answered_at DATETIME, 
	channel TEXT, 
	wording TEXT NOT NULL, 
	CONSTRAINT likenesses_one_person_id_scope_name UNIQUE (person_id, scope, name)
);
INSERT INTO "likenesses" VALUES(1,'discord:7','discord:1','Tilda Wren',NULL,'discord:8','2026-11-29 12:00:00.000000','agreed','2026-11-29 12:00:00.000000','discord:1/10','likeness-1');
CREATE TABLE people (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	remember BOOLEAN NOT NULL, 
	CONSTRAINT people_key PRIMARY KEY (id)
);
INSERT INTO "people" VALUES('web:ada','Ada','2026-01-01 12:00:03.000000','2026-01-01 12:00:12.000000',1);
CREATE TABLE pieces (
	reply_id INTEGER NOT NULL, 
	piece INTEGER NOT NULL, 
	channel TEXT NOT NULL, 
	message_id TEXT NOT NULL, 
	CONSTRAINT pieces_key PRIMARY KEY (reply_id, piece), 
	CONSTRAINT pieces_reply_id_is_in_replies FOREIGN KEY(reply_id) REFERENCES replies (id) ON DELETE CASCADE
);
INSERT INTO "pieces" VALUES(1,0,'web:lobby','s1');
CREATE TABLE presence (
	turn_id INTEGER NOT NULL, 
	character_id TEXT NOT NULL, 
	CONSTRAINT presence_key PRIMARY KEY (turn_id, character_id), 
	CONSTRAINT presence_turn_id_is_in_turns FOREIGN KEY(turn_id) REFERENCES turns (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "presence" VALUES(1,'house/mara-quill');
INSERT INTO "presence" VALUES(2,'house/mara-quill');
INSERT INTO "presence" VALUES(3,'house/mara-quill');
CREATE TABLE ratings (
	reply_id INTEGER NOT NULL, 
	person_id TEXT NOT NULL, 
	value INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT ratings_key PRIMARY KEY (reply_id, person_id), 
	CONSTRAINT ratings_reply_id_is_in_replies FOREIGN KEY(reply_id) REFERENCES replies (id) ON DELETE CASCADE
);
CREATE TABLE recaps (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	channel TEXT NOT NULL, 
	character_id TEXT NOT NULL, 
	up_to_turn INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	created_at DATETIME NOT NULL
);
INSERT INTO "recaps" VALUES(1,'web:lobby','house/mara-quill',3,'They spoke of the sea.','2026-01-01 12:00:15.000000');
CREATE TABLE replies (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	channel TEXT NOT NULL, 
	cause_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	take INTEGER NOT NULL, 
	character_id TEXT NOT NULL, 
	character_name TEXT NOT NULL, 
	seed BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	text TEXT NOT NULL, 
	stamp JSON, 
	turn_id INTEGER, 
	chosen BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT replies_cause_id_is_in_turns FOREIGN KEY(cause_id) REFERENCES turns (id) ON DELETE CASCADE, 
	CONSTRAINT replies_turn_id_is_in_turns FOREIGN KEY(turn_id) REFERENCES turns (id) ON DELETE SET NULL, 
	CONSTRAINT replies_one_cause_id_position_take UNIQUE (cause_id, position, take)
);
INSERT INTO "replies" VALUES(1,'web:lobby',1,0,0,'house/mara-quill','Mara Quill',7,'recorded','','Grey, and in no mood for visitors.','{"build": "starter", "character": "house/mara-quill", "revision": "1", "prompt_version": 1, "seed": 7, "exemplars": ["m-001"], "memories": [], "lore": [], "finish_reason": "stop", "counters": {"prompt_tokens": 300, "reused_tokens": 250, "evaluated_tokens": 50, "reply_tokens": 9, "first_token_seconds": 0.25, "total_seconds": 1.5}}',2,1,'2026-01-01 12:00:04.000000','2026-01-01 12:00:08.000000');
CREATE TABLE signals (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	reply_id INTEGER NOT NULL, 
	person_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT signals_reply_id_is_in_replies FOREIGN KEY(reply_id) REFERENCES replies (id) ON DELETE CASCADE
);
INSERT INTO "signals" VALUES(1,1,'web:ada','edit','2026-05-01 12:00:00.000000');
CREATE TABLE turns (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	channel TEXT NOT NULL, 
	message_id TEXT NOT NULL, 
	author_id TEXT NOT NULL, 
	author_name TEXT NOT NULL, 
	by_character BOOLEAN NOT NULL, 
	text TEXT NOT NULL, 
	reply_to TEXT, 
	answers INTEGER, 
	mentions JSON NOT NULL, 
	direct BOOLEAN NOT NULL, 
	sent_at DATETIME NOT NULL, 
	stored_at DATETIME NOT NULL, 
	edited_at DATETIME, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	hidden BOOLEAN NOT NULL, 
	CONSTRAINT turns_answers_is_in_turns FOREIGN KEY(answers) REFERENCES turns (id) ON DELETE SET NULL, 
	CONSTRAINT turns_one_channel_message_id UNIQUE (channel, message_id)
);
INSERT INTO "turns" VALUES(1,'web:lobby','m1','web:ada','Ada',0,'Mara, what is the sea like today?',NULL,NULL,'[]',0,'2026-01-01 12:00:02.000000','2026-01-01 12:00:03.000000',NULL,'answered',0,0);
INSERT INTO "turns" VALUES(2,'web:lobby','s1','house/mara-quill','Mara Quill',1,'Grey, and in no mood for visitors.','m1',1,'[]',0,'2026-01-01 12:00:06.000000','2026-01-01 12:00:06.000000',NULL,'answered',0,0);
INSERT INTO "turns" VALUES(3,'web:lobby','m2','web:ada','Ada',0,'And tomorrow?',NULL,NULL,'[]',0,'2026-01-01 12:00:09.000000','2026-01-01 12:00:10.000000',NULL,'heard',0,0);
CREATE TABLE views (
	channel TEXT NOT NULL, 
	character_id TEXT NOT NULL, 
	after_turn INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT views_key PRIMARY KEY (channel, character_id)
);
CREATE INDEX recaps_by_channel_character_id ON recaps (channel, character_id);
CREATE INDEX turns_by_answers ON turns (answers);
CREATE INDEX turns_by_author_id ON turns (author_id);
CREATE INDEX turns_by_channel_id ON turns (channel, id);
CREATE INDEX consents_by_person_id_kind ON consents (person_id, kind);
CREATE INDEX facts_by_character_id ON facts (character_id);
CREATE INDEX facts_by_person_id ON facts (person_id);
CREATE INDEX facts_by_source_turn_id ON facts (source_turn_id);
CREATE INDEX replies_by_channel_id ON replies (channel, id);
CREATE INDEX replies_by_turn_id ON replies (turn_id);
CREATE INDEX pieces_by_channel_message_id ON pieces (channel, message_id);
CREATE INDEX ratings_by_person_id ON ratings (person_id);
CREATE INDEX signals_by_reply_id ON signals (reply_id);
CREATE INDEX signals_by_person_id ON signals (person_id);
CREATE INDEX likenesses_by_scope_slug ON likenesses (scope, slug);
CREATE INDEX turns_by_channel_sent_at ON turns (channel, sent_at);
CREATE INDEX turns_by_state_channel ON turns (state, channel);
CREATE INDEX replies_by_state_channel ON replies (state, channel);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('turns',3);
INSERT INTO "sqlite_sequence" VALUES('replies',1);
INSERT INTO "sqlite_sequence" VALUES('consents',2);
INSERT INTO "sqlite_sequence" VALUES('characters',1);
INSERT INTO "sqlite_sequence" VALUES('facts',1);
INSERT INTO "sqlite_sequence" VALUES('recaps',1);
INSERT INTO "sqlite_sequence" VALUES('signals',1);
INSERT INTO "sqlite_sequence" VALUES('likenesses',1);
COMMIT;
