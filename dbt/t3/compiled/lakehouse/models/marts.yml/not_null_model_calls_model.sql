
    
    



select model
from "y"."stats"."model_calls"
where model is null


