import { IterationRunner, EarlyStopping, ClipGradients, registerModel } from "./mod.ts";
import { Lines, series, smallConfig } from "./test/support/runs.ts";
import * as tf from "./src/tensor/tf.ts";
const w={inputLength:12,outputLength:4};
const arr=(p:any)=>({data:{type:"ForecastingArray",params:{values:series(160),channels:2,...w,...p}}});
const csv=(content:string,p:any={})=>({data:{type:"ForecastingCsv",params:{content,...w,...p}}});
const nl=(p:any)=>({model:{type:"NLinear",params:{...w,channels:2,...p}}});
const cases:[string,any][]=[
["clip+cb",{train:{clipGrad:{max_norm:1}},callbacks:[{type:"ClipGradients",params:{max_norm:1}}]}],
["clip+cb alias",{train:{clipGrad:{max_norm:1}},callbacks:[{type:"GradientClipping",params:{max_norm:1}}]}],
["clip+cb inst",{train:{clipGrad:{max_norm:1}},callbacks:[new ClipGradients({max_norm:1})]}],
["es+cb",{earlyStopping:{},callbacks:["EarlyStopping"]}],
["es+inst",{earlyStopping:{},callbacks:[new EarlyStopping()]}],
["es twice",{callbacks:["EarlyStopping",{type:"earlystopping"}]}],
["ckpt twice",{checkpoint:{interval:5},callbacks:["Checkpoint"]}],
["ckpt x2",{callbacks:["Checkpoint","checkpoint"]}],
["torch+camel",{optimizer:{type:"AdamW",params:{weight_decay:1,weightDecay:1}}}],
["snake+camel top",{early_stopping:{},earlyStopping:{}}],
["overfit+limit",{train:{overfitBatches:1,limitBatches:1}}],
["shards",{shards:100}],["workers2",{workers:2}],["workers0",{workers:0}],
["monitor",{best:{monitor:"val/rmse"}}],["monitor train",{best:{monitor:"train/loss"}}],
["es monitor",{earlyStopping:{monitor:"val/nope"}}],
["es monitor cb",{callbacks:[{type:"EarlyStopping",params:{monitor:"rmse"}}]}],
["es no val",{validation:false,earlyStopping:{}}],["es cb no val",{validation:false,callbacks:["EarlyStopping"]}],
["es no val data",{...arr({split:[0.7,0,0.3]}),earlyStopping:{}}],
["pattern",{optimizer:{type:"AdamW",groups:[{match:"^zzz",lr:0.1}]}}],
["badregex",{optimizer:{type:"AdamW",groups:[{match:"(",lr:0.1}]}}],
["group nothing",{optimizer:{type:"AdamW",groups:[{lr:0.1}]}}],
["frozen all",{optimizer:{type:"AdamW",groups:[{match:".",freeze:true}]}}],
["nodecay pat",{optimizer:{type:"AdamW",noDecay:["zzz"]}}],
["unknown model",{model:{type:"NLinaer",params:{}}}],
["unknown data",{data:{type:"ForcastingCsv",params:{}}}],
["unknown opt",{optimizer:{type:"AdmaW"}}],
["unknown sched",{scheduler:{type:"StpLR"}}],
["unknown loss",{loss:"mes"}],["unknown metric",{metrics:["mse","mea"]}],["unknown cb",{callbacks:["ErlyStopping"]}],["unknown task",{task:"forcasting"}],["backend",{backend:"webgp"}],
["metric twice",{metrics:["mse","MSE"]}],["metric loss",{metrics:["loss"]}],["loss=rmse",{loss:"rmse"}],
["loss param",{loss:{type:"huber",params:{delta:0}}}],["loss param name",{loss:{type:"huber",params:{dleta:1}}}],
["model channels",nl({channels:7})],["model in",nl({inputLength:24})],["model out",nl({outputLength:6})],
["mlp",{model:{type:"Mlp",params:{inputSize:24,outputSize:8}}}],["mlp2",{model:{type:"Mlp",params:{inputSize:5,outputLength:4,channels:2}}}],
["patch",{model:{type:"PatchTST",params:{...w,channels:3,patchLength:4,stride:2}}}],
["layers",{model:{type:"Layers",params:{json:{class_name:"Sequential",config:{name:"s",layers:[{class_name:"Dense",config:{name:"d",units:2,batch_input_shape:[null,12,3]}}]}}}}}],
["layers2",{model:{type:"Layers",params:{json:{class_name:"Sequential",config:{name:"s",layers:[{class_name:"Dense",config:{name:"d",units:2,batch_input_shape:[null,12,2]}}]}}}}}],
["layers3",{model:{type:"Layers",params:{json:{class_name:"Foo"}}}}],
["layers4",{model:{type:"Layers",params:{json:"{"}}}],
["horizon",{test:{horizons:[5]}}],["horizon dup",{test:{horizons:[1,1]}}],
["missing",{data:{type:"ForecastingCsv",params:{...w,path:"nope.csv"}}}],
["empty csv",csv("")],["ragged",csv("a,b\n1,2\n3\n")],["text cell",csv("a,b\n1,2\n3,x\n")],["col",csv("a,b\n1,2\n",{columns:["c"]})],["target col",csv("a,b\n1,2\n",{targetColumns:["c"]})],["few",csv("a,b\n1,2\n3,4\n")],["both",csv("a\n1",{path:"x.csv"})],["neither",{data:{type:"ForecastingCsv",params:{...w}}}],
["split2",arr({split:[0.7,0.3]})],["split sum",arr({split:[0.7,0.3,0.3]})],["split big",arr({split:[100,40,40]})],["split neg",arr({split:[0.9,-0.1,0.2]})],["split mixed",arr({split:[100,0.2,20]})],["split zero",arr({split:[0,0,0]})],["no train",arr({split:[0,0.5,0.5],scaler:null})],["no train scaler",arr({split:[0,0.5,0.5]})],
["values len",arr({channels:3})],["inf values",arr({values:[1,Infinity,3,4]})],["empty values",arr({values:[]})],["season",arr({season:500})],["tf no times",arr({timeFeatures:["timeOfDay"]})],["imput out",arr({task:"imputation"})],
["arrayds",{data:{type:"ArrayDataset",params:{train:{inputs:{data:[1,2,3],shape:[2,2]}}}}}],["arrayds2",{data:{type:"ArrayDataset",params:{train:{}}}}],["arrayds3",{data:{type:"ArrayDataset",params:{}}}],["arrayds4",{data:{type:"ArrayDataset",params:{train:{inputs:5}}}}],["arrayds5",{data:{type:"ArrayDataset",params:{train:{inputs:{data:"abc",shape:[1,3]}}}}}],
["arrayds val shape",{model:{type:"Mlp",params:{inputSize:2,outputSize:1}},data:{type:"ArrayDataset",params:{train:{inputs:{data:[1,2,3,4],shape:[2,2]},targets:{data:[1,2],shape:[2,1]}},validation:{inputs:{data:[1,2,3,4,5,6],shape:[2,3]},targets:{data:[1,2],shape:[2,1]}}}}}],
["arrayds empty",{model:{type:"Mlp",params:{inputSize:2,outputSize:1}},data:{type:"ArrayDataset",params:{train:{inputs:{data:[],shape:[0,2]},targets:{data:[],shape:[0,1]}}}}}],
["dropLast few",{train:{dropLast:true,batchSize:1000}}],
["class loss on forecast",{loss:"crossEntropy"}],["class task",{task:"classification"}],
["acc",{metrics:["accuracy"]}],
["sched monitor",{scheduler:{type:"StepLR",params:{step_size:2},monitor:"val/x"}}],
["milestones",{scheduler:{type:"MultiStepLR",params:{milestones:["a"]}}}],["milestones2",{scheduler:{type:"MultiStepLR",milestones:[3]}}],
["proto",JSON.parse('{"__proto__":{"polluted":1}}')],["proto model",{model:JSON.parse('{"type":"NLinear","params":{"inputLength":12,"outputLength":4,"channels":2,"__proto__":{"polluted":1}}}')}],
["proto opt",{optimizer:JSON.parse('{"type":"AdamW","__proto__":{"polluted":1}}')}],
["ctor opt",{optimizer:JSON.parse('{"type":"AdamW","constructor":{"prototype":{"polluted":1}}}')}],
["ctor params",{optimizer:JSON.parse('{"type":"AdamW","params":{"constructor":{"prototype":{"polluted":1}}}}')}],
["type __proto__",{model:{type:"__proto__",params:{}}}],["opt type constructor",{optimizer:{type:"constructor"}}],["loss __proto__",{loss:"__proto__"}],["task constructor",{task:"constructor"}],["metric toString",{metrics:["toString"]}],
["TYPE+type",{optimizer:{TYPE:"Adam",type:"SGD"}}],["PARAM only",{optimizer:{type:"Adam",PARAM:{lr:1}}}],
["name ..",{name:".."}],["name /",{name:"a/b"}],["name abs",{name:"/tmp/x"}],["name long",{name:"a".repeat(101)}],["name nul",{name:"a\0b"}],["name nl",{name:"a\n"}],
["earlyStopping inst of dir",{checkpoint:{directory:""}}],
["aux",{callbacks:["AuxiliaryLoss"]}],
["finetune",{fineTune:{path:"/nope.safetensors"}}],
["config null",null],
["curric",{callbacks:["Curriculum"]}],
["noDecay sgdless",{optimizer:{type:"AdamW",noDecay:"bias"}}],
["model class throws",{model:{type:class{constructor(){throw new Error("boom\nsecond")}},params:{}}}],
["model class none",{model:{type:()=>({}),params:{}}}],
["data fn none",{data:{type:()=>({}),params:{}}}],
["huge",{train:{iterations:1e300}}],
];
for(const [n,o] of cases){
  let m="ACCEPTED";
  const base=o===null?null:smallConfig(o);
  if(n==="proto") Object.defineProperty(base,"__proto__",{value:{polluted:1},enumerable:true,configurable:true});
  try{ const r=await IterationRunner.create(base as any,{output:new Lines()});
    try { await r.train(); m="ACCEPTED+trained"; } catch(e){ m="ACCEPTED then "+(e as Error).name+": "+(e as Error).message; }
    r.dispose(); }catch(e){ m=(e as Error).name+": "+(e as Error).message; }
  console.log(n.padEnd(18),m.replaceAll("\n","⏎").slice(0,260));
}
console.log(({} as any).polluted, tf.memory().numTensors);
