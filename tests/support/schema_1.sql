PRAGMA application_id = 1380730189;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE episodes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id NOT NULL UNIQUE,
    sequence INTEGER NOT NULL,
    recorded_s REAL NOT NULL,
    task INTEGER NOT NULL REFERENCES texts,
    task_id NOT NULL,
    source NOT NULL,
    split NOT NULL,
    model NOT NULL,
    trust TEXT NOT NULL,
    status TEXT NOT NULL,
    cause NOT NULL,
    start TEXT NOT NULL,
    final INTEGER REFERENCES situations
);
INSERT INTO "episodes" VALUES(1,'walk-000',1,1.79540802636028885841e+09,1,'','own','','','verified','terminated','','[[],0.0,0.0]',NULL);
INSERT INTO "episodes" VALUES(2,'walk-001',2,1.79540802636588716504e+09,5,'','scout','','','verified','truncated','','[[],0.0,0.0]',2);
INSERT INTO "episodes" VALUES(3,'walk-002',3,1.79540802636680746082e+09,8,'','own','','','unverified','terminated','','[[],0.0,0.0]',NULL);
INSERT INTO "episodes" VALUES(4,'walk-003',4,1.79540802636758160589e+09,1,'','own','','','verified','broken','','[[],0.0,0.0]',7);
INSERT INTO "episodes" VALUES(5,'walk-004',5,1.79540802636775827412e+09,5,'','own','','','quarantined','truncated','','[[],0.0,0.0]',NULL);
INSERT INTO "episodes" VALUES(6,'walk-005',6,1.79540802636784076694e+09,8,'','scout','','','verified','terminated','','[[],0.0,0.0]',12);
INSERT INTO "episodes" VALUES(7,'walk-006',7,1.79540802636802530292e+09,1,'','own','','','verified','terminated','','[[],0.0,0.0]',NULL);
INSERT INTO "episodes" VALUES(8,'walk-007',8,1.79540802636832809444e+09,5,'','own','','','unverified','truncated','','[[],0.0,0.0]',2);
INSERT INTO "episodes" VALUES(9,'walk-008',9,1.79540802636862564085e+09,8,'','own','','','verified','terminated','','[[],0.0,0.0]',NULL);
INSERT INTO "episodes" VALUES(10,'odd',10,1795408026.36872,10,'',X'EDA080','','','verified','truncated','','[["before"],0.0,0.0]',14);
CREATE TABLE experiences (
    situation INTEGER PRIMARY KEY REFERENCES situations ON DELETE CASCADE,
    state TEXT NOT NULL
);
INSERT INTO "experiences" VALUES(1,'[0,[],[1,0.0,0.0],[1,0.0,0.0],1,[["left","left","",1,[1,-1.5,0.0],[1,-1.5,0.0],[1,-1.5,0.0]]]]');
INSERT INTO "experiences" VALUES(2,'[1,[],[2,0.25,0.125],[2,1.5,4.5],2,[["right","right","",1,[1,0.5,0.0],[1,-1.0,0.0],[1,-1.0,0.0]],["left","left","",1,[1,-1.5,0.0],[0,0.0,0.0],[1,0.0,0.0]]]]');
INSERT INTO "experiences" VALUES(3,'[2,["right"],[2,-0.5,2.0],[2,1.0,0.5],2,[["wait","wait","",1,[1,-1.5,0.0],[1,-1.5,0.0],[1,-1.5,0.0]],["right","right","",1,[1,1.5,0.0],[0,0.0,0.0],[1,1.5,0.0]]]]');
INSERT INTO "experiences" VALUES(4,'[3,[],[1,0.0,0.0],[1,0.0,0.0],1,[["wait","wait","",1,[1,2.5,0.0],[0,0.0,0.0],[1,1.5,0.0]]]]');
INSERT INTO "experiences" VALUES(5,'[4,[],[2,1.25,3.125],[2,1.25,3.125],2,[["right","right","",1,[1,0.5,0.0],[0,0.0,0.0],[1,-1.0,0.0]],["wait","wait","",1,[1,-1.5,0.0],[1,0.0,0.0],[1,0.0,0.0]]]]');
INSERT INTO "experiences" VALUES(6,'[5,[],[3,-0.33333333333333337,2.1666666666666665],[3,0.5,10.5],3,[["left","left","",1,[1,-1.5,0.0],[0,0.0,0.0],[1,-1.5,0.0]],["right","right","",1,[1,1.5,0.0],[1,1.5,0.0],[1,1.5,0.0]],["wait","wait","",1,[1,-0.5,0.0],[1,-0.5,0.0],[1,-0.5,0.0]]]]');
INSERT INTO "experiences" VALUES(7,'[6,[],[1,0.0,0.0],[1,0.0,0.0],1,[["left","left","",1,[1,0.5,0.0],[1,0.5,0.0],[1,0.5,0.0]]]]');
INSERT INTO "experiences" VALUES(8,'[8,["left","left"],[1,-1.5,0.0],[1,-1.0,0.0],1,[["left","left","",1,[1,1.5,0.0],[1,1.5,0.0],[1,1.5,0.0]]]]');
INSERT INTO "experiences" VALUES(10,'[10,["right"],[1,2.5,0.0],[1,2.5,0.0],1,[["wait","wait","",1,[1,0.5,0.0],[0,0.0,0.0],[1,0.5,0.0]]]]');
INSERT INTO "experiences" VALUES(11,'[9,[],[1,0.0,0.0],[1,0.0,0.0],1,[["right","right","",1,[1,2.5,0.0],[0,0.0,0.0],[1,3.0,0.0]]]]');
INSERT INTO "experiences" VALUES(13,'[7,["left"],[1,0.5,0.0],[1,0.5,0.0],1,[["left","left","",1,[1,-1.5,0.0],[1,0.0,0.0],[1,0.0,0.0]]]]');
INSERT INTO "experiences" VALUES(14,'[11,["before"],[1,0.0,0.0],[1,0.0,0.0],1,[["\ud800","\ud800","\udfff",1,[1,1.0,0.0],[1,1.0,0.0],[1,1.0,0.0]]]]');
CREATE TABLE features (
    fingerprint TEXT NOT NULL,
    digest BLOB NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (fingerprint, digest)
) WITHOUT ROWID;
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'AD0D92E59B67644B0446D5783FA63CBE',X'AAD6299D43BEB7E8D8D3EEF0202020');
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'C9AE5B554BE82596143ED5D75B6B54DB',X'D00CD6712D54E58A43BEB7E88F5F61FA20202020');
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'CAE66941D9EFBD404E4D88758EA67670',X'');
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'D59E6C18B58F7A8B66F8C84939FCFDD9',X'44B54D0565142C24BE49172A202020');
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'F5748D1CC9E94305471B7A1EF04FFBBE',X'E66D453C9F0F786959A3FCB42B67E3F536202020');
INSERT INTO "features" VALUES('lexical:1:observation:bigrams0:grams0',X'FD82680C260507D38E585CF06B797B0F',X'E66D453CE5D45D3FA968E3CD202020');
INSERT INTO "features" VALUES('lexical:1:task:bigrams0:grams4',X'2689B6124074F0534BC958D339DDBAA7',X'44B983150DBED51A72CA833C42D2CB3FF8FA1D433B1143465452F76AD00CD671AF5D5E78557A918DD124B09611407DEBB934C0FB20202020202020202020202020');
INSERT INTO "features" VALUES('lexical:1:task:bigrams0:grams4',X'27C7AE007BFFA4B1E18C09553FE62EDB',X'44B9831572CA833C42D2CB3FF8FA1D433B1143465452F76AD00CD671AF5D5E78557A918DD124B09611407DEB21DFDBF4B934C0FB20202020202020202020202020');
INSERT INTO "features" VALUES('lexical:1:task:bigrams0:grams4',X'C7118DD1CA7E11C3F864A88986B59341',X'44B9831572CA833C42D2CB3FF8FA1D433B1143465452F76AD00CD671AF5D5E78B7EFDC83557A918DD124B09611407DEBB934C0FB20202020202020202020202020');
INSERT INTO "features" VALUES('lexical:1:task:bigrams0:grams4',X'EF4BBC55401B2D8D36B9C5D434176968',X'8316DC8C1526DBFB2020');
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO "meta" VALUES('derived','["learner-1 db5b07c39ff1f75493e690e51898a4f6be696805e83c7538304a4b7561e1e4ce",2,2]');
INSERT INTO "meta" VALUES('revision',2);
INSERT INTO "meta" VALUES('settings','{"max_actions":null,"max_experiences":null,"similarity":{"terms":[{"feature":{"bigrams":false,"field":"task","grams":4,"name":"lexical"},"weight":0.5},{"feature":{"bigrams":false,"field":"observation","grams":0,"name":"lexical"},"weight":0.5}]},"values":{"compat":"default","discount":1.0,"double":false,"estimate":"mean","learning_rate":0.1,"n":null,"seed":0,"trace_decay":null,"truncation":"terminal"}}');
CREATE TABLE situations (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    task INTEGER NOT NULL REFERENCES texts,
    observation INTEGER NOT NULL REFERENCES texts,
    actions INTEGER NOT NULL REFERENCES texts,
    subtask INTEGER NOT NULL REFERENCES texts
);
INSERT INTO "situations" VALUES(1,'aa9553ff3c4c7856811379dbd35d275a',1,2,3,4);
INSERT INTO "situations" VALUES(2,'b9a3e7512d7a2fe362c0ce8ce2869f60',5,6,3,4);
INSERT INTO "situations" VALUES(3,'44b7e192ba59e46bdd68b918178721ec',5,7,3,4);
INSERT INTO "situations" VALUES(4,'f8b79a55deba78369a3426c5acc16d9a',8,9,3,4);
INSERT INTO "situations" VALUES(5,'c7c3871ef60a2c1a44db856053993bd9',8,2,3,4);
INSERT INTO "situations" VALUES(6,'dbb9e67f116db4d1786321db0a57bcd6',8,7,3,4);
INSERT INTO "situations" VALUES(7,'2d27250369c24d771c302e693040cbab',1,6,3,4);
INSERT INTO "situations" VALUES(8,'030bdad320b976c6efb80596700a6598',1,7,3,4);
INSERT INTO "situations" VALUES(9,'9a4580cf87f37913e4e6619403ca6363',1,4,3,4);
INSERT INTO "situations" VALUES(10,'57c7234d95f36e177d1ff65e821986b5',5,4,3,4);
INSERT INTO "situations" VALUES(11,'9afa767f45cf427e3d66552e4f78683b',5,9,3,4);
INSERT INTO "situations" VALUES(12,'3d3b1313d827fe256a73430d38723bba',8,6,3,4);
INSERT INTO "situations" VALUES(13,'2faa815f0f2a5123ced9577aaf590f86',1,9,3,4);
INSERT INTO "situations" VALUES(14,'755c829191927aef248ef242bd1198eb',10,11,12,13);
CREATE TABLE texts (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, text NOT NULL);
INSERT INTO "texts" VALUES(1,X'27C7AE007BFFA4B1E18C09553FE62EDB','walk home by way 0');
INSERT INTO "texts" VALUES(2,X'FD82680C260507D38E585CF06B797B0F','the old square');
INSERT INTO "texts" VALUES(3,X'4A37864EF1CA89C58C440F2D7C660686','["left","right"]');
INSERT INTO "texts" VALUES(4,X'CAE66941D9EFBD404E4D88758EA67670','');
INSERT INTO "texts" VALUES(5,X'C7118DD1CA7E11C3F864A88986B59341','walk home by way 1');
INSERT INTO "texts" VALUES(6,X'AD0D92E59B67644B0446D5783FA63CBE','a narrow street');
INSERT INTO "texts" VALUES(7,X'C9AE5B554BE82596143ED5D75B6B54DB','home, a red door');
INSERT INTO "texts" VALUES(8,X'2689B6124074F0534BC958D339DDBAA7','walk home by way 2');
INSERT INTO "texts" VALUES(9,X'F5748D1CC9E94305471B7A1EF04FFBBE','the bridge over the river');
INSERT INTO "texts" VALUES(10,X'EF4BBC55401B2D8D36B9C5D434176968',X'78EDBFBF79');
INSERT INTO "texts" VALUES(11,X'D59E6C18B58F7A8B66F8C84939FCFDD9','😀 ''; --');
INSERT INTO "texts" VALUES(12,X'E3B01E7E7DC208FFAD40C8D7F39C8B55','["","\ud800"]');
INSERT INTO "texts" VALUES(13,X'4768FCA46360E9F45F794E6E4D58FC60','	
');
CREATE TABLE transitions (
    episode INTEGER NOT NULL REFERENCES episodes ON DELETE CASCADE,
    step INTEGER NOT NULL,
    situation INTEGER NOT NULL REFERENCES situations,
    action,
    reward REAL NOT NULL,
    reason NOT NULL,
    PRIMARY KEY (episode, step)
) WITHOUT ROWID;
INSERT INTO "transitions" VALUES(1,0,1,'left',-1.5,'');
INSERT INTO "transitions" VALUES(2,0,2,'right',0.5,'');
INSERT INTO "transitions" VALUES(2,1,3,'wait',-1.5,'');
INSERT INTO "transitions" VALUES(3,0,4,'wait',2.5,'');
INSERT INTO "transitions" VALUES(3,1,5,'right',0.5,'');
INSERT INTO "transitions" VALUES(3,2,6,'left',-1.5,'');
INSERT INTO "transitions" VALUES(4,0,8,'left',-0.5,'');
INSERT INTO "transitions" VALUES(4,1,9,'left',2.5,'');
INSERT INTO "transitions" VALUES(4,2,1,'left',0.5,'');
INSERT INTO "transitions" VALUES(4,3,7,'left',-1.5,'');
INSERT INTO "transitions" VALUES(5,0,10,'right',1.5,'');
INSERT INTO "transitions" VALUES(5,1,11,NULL,0.5,'');
INSERT INTO "transitions" VALUES(6,0,5,'wait',-1.5,'');
INSERT INTO "transitions" VALUES(6,1,6,'right',1.5,'');
INSERT INTO "transitions" VALUES(7,0,7,'left',0.5,'');
INSERT INTO "transitions" VALUES(7,1,13,'left',-1.5,'');
INSERT INTO "transitions" VALUES(7,2,8,'left',1.5,'');
INSERT INTO "transitions" VALUES(8,0,11,'right',2.5,'');
INSERT INTO "transitions" VALUES(8,1,10,'wait',0.5,'');
INSERT INTO "transitions" VALUES(8,2,2,'left',-1.5,'');
INSERT INTO "transitions" VALUES(8,3,3,'right',1.5,'');
INSERT INTO "transitions" VALUES(9,0,6,'wait',-0.5,'');
INSERT INTO "transitions" VALUES(10,0,14,X'EDA080',1.0,X'EDBFBF');
CREATE INDEX situations_task ON situations (task);
CREATE INDEX situations_observation ON situations (observation);
CREATE INDEX situations_actions ON situations (actions);
CREATE INDEX situations_subtask ON situations (subtask);
CREATE INDEX episodes_order ON episodes (sequence, id);
CREATE INDEX episodes_task ON episodes (task);
CREATE INDEX episodes_final ON episodes (final);
CREATE INDEX transitions_situation ON transitions (situation);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('episodes',10);
COMMIT;
